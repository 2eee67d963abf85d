//! What an upload is by its first bytes, compared with what its sender declared.
//!
//! Text is never recognised: whether bytes are HTML depends on who reads them.

use crate::model::wire::media::MediaKind;
use image::ImageFormat;

/// The type of a file that is not known, or not what its sender says.
const UNKNOWN: &str = "application/octet-stream";

/// Pictures: the name of the type, and other names of it that senders use.
const PICTURES: &[(ImageFormat, &[&str])] = &[
    (ImageFormat::Jpeg, &["image/jpeg", "image/jpg"]),
    (ImageFormat::Png, &["image/png"]),
    (ImageFormat::Gif, &["image/gif"]),
    (ImageFormat::WebP, &["image/webp"]),
];

/// The containers of videos.
const VIDEOS: [&str; 3] = ["video/mp4", "video/quicktime", "video/webm"];

/// The brands of ISO base media files that are MP4 videos, as their beginnings.
const MP4_BRANDS: &[&[u8]] = &[
    b"3g2", b"3gp", b"F4V", b"M4V", b"MSNV", b"XAVC", b"avc1", b"cmf", b"dash", b"iso", b"mmp4",
    b"mp4", b"mp71",
];

/// Files: the name that `infer` has for the type, and the names under which a sender may declare it. The first is used.
const FILES: &[(&str, &[&str])] = &[
    ("application/epub+zip", &["application/epub+zip"]),
    (
        "application/gzip",
        &["application/gzip", "application/x-gzip"],
    ),
    ("application/msword", &["application/msword"]),
    ("application/pdf", &["application/pdf"]),
    ("application/rtf", &["application/rtf", "text/rtf"]),
    ("application/vnd.ms-excel", &["application/vnd.ms-excel"]),
    (
        "application/vnd.ms-powerpoint",
        &["application/vnd.ms-powerpoint"],
    ),
    (
        "application/vnd.oasis.opendocument.presentation",
        &["application/vnd.oasis.opendocument.presentation"],
    ),
    (
        "application/vnd.oasis.opendocument.spreadsheet",
        &["application/vnd.oasis.opendocument.spreadsheet"],
    ),
    (
        "application/vnd.oasis.opendocument.text",
        &["application/vnd.oasis.opendocument.text"],
    ),
    (
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        &["application/vnd.openxmlformats-officedocument.presentationml.presentation"],
    ),
    (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        &["application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"],
    ),
    (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        &["application/vnd.openxmlformats-officedocument.wordprocessingml.document"],
    ),
    (
        "application/vnd.rar",
        &["application/vnd.rar", "application/x-rar-compressed"],
    ),
    (
        "application/x-7z-compressed",
        &["application/x-7z-compressed"],
    ),
    ("application/x-bzip2", &["application/x-bzip2"]),
    ("application/x-tar", &["application/x-tar"]),
    ("application/x-xz", &["application/x-xz"]),
    (
        "application/zip",
        &["application/zip", "application/x-zip-compressed"],
    ),
    ("application/zstd", &["application/zstd"]),
    ("audio/aac", &["audio/aac"]),
    ("audio/m4a", &["audio/mp4", "audio/m4a", "audio/x-m4a"]),
    ("audio/mpeg", &["audio/mpeg", "audio/mp3"]),
    ("audio/ogg", &["audio/ogg"]),
    ("audio/opus", &["audio/ogg", "audio/opus"]),
    ("audio/x-flac", &["audio/flac", "audio/x-flac"]),
    ("audio/x-wav", &["audio/wav", "audio/x-wav", "audio/wave"]),
    ("image/avif", &["image/avif"]),
    ("image/bmp", &["image/bmp"]),
    ("image/gif", &["image/gif"]),
    ("image/heif", &["image/heif", "image/heic"]),
    ("image/jpeg", &["image/jpeg", "image/jpg"]),
    ("image/jxl", &["image/jxl"]),
    ("image/png", &["image/png"]),
    ("image/tiff", &["image/tiff"]),
    ("image/webp", &["image/webp"]),
    ("video/mp4", &["video/mp4"]),
    ("video/quicktime", &["video/quicktime"]),
    ("video/webm", &["video/webm"]),
    ("video/x-matroska", &["video/x-matroska", "video/matroska"]),
    ("video/x-msvideo", &["video/x-msvideo"]),
];

/// The type without parameters, in lower case.
fn essence(declared: &str) -> String {
    let (essence, _) = declared.split_once(';').unwrap_or((declared, ""));
    essence.trim().to_ascii_lowercase()
}

/// The format of a picture; none if it is not one that clients show, or not the declared one.
pub fn picture(head: &[u8], declared: &str) -> Option<(ImageFormat, &'static str)> {
    let found = infer::get(head)?.mime_type();
    let declared = essence(declared);
    let mut formats = PICTURES.iter();
    let (format, names) = formats.find(|(_, names)| names.first() == Some(&found))?;
    let (name, _) = names.split_first()?;
    names
        .contains(&declared.as_str())
        .then_some((*format, *name))
}

/// The container of a video; none if browsers do not play it, or it is not the declared one.
pub fn video(head: &[u8], declared: &str) -> Option<&'static str> {
    let found = container(head)?;
    (found == essence(declared)).then_some(found)
}

fn container(head: &[u8]) -> Option<&'static str> {
    // `infer` knows fewer brands.
    if head.get(4..8) == Some(b"ftyp") {
        let brand = head.get(8..12)?;
        return match brand {
            b"qt  " => Some("video/quicktime"),
            _ if MP4_BRANDS.iter().any(|name| brand.starts_with(name)) => Some("video/mp4"),
            _ => None,
        };
    }
    let found = infer::get(head)?.mime_type();
    VIDEOS.into_iter().find(|name| *name == found)
}

/// The type under which a file is handed out: the declared one only if the bytes agree.
pub fn file(head: &[u8], declared: &str) -> &'static str {
    let declared = essence(declared);
    let found = container(head).or_else(|| Some(infer::get(head)?.mime_type()));
    let mut files = FILES.iter();
    let known = files.find(|(name, _)| Some(*name) == found);
    match known {
        Some((_, [name, others @ ..]))
            if declared == *name || others.contains(&declared.as_str()) =>
        {
            name
        }
        _ => UNKNOWN,
    }
}

/// Whether an upload of this kind may have been found to be of this type.
pub fn is_type_of(kind: MediaKind, mime: &str) -> bool {
    let first = |names: &[&str]| names.first() == Some(&mime);
    match kind {
        MediaKind::Image => PICTURES.iter().any(|(_, names)| first(names)),
        MediaKind::Video => VIDEOS.contains(&mime),
        MediaKind::File => mime == UNKNOWN || FILES.iter().any(|(_, names)| first(names)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ftyp(brand: &[u8; 4]) -> Vec<u8> {
        [
            b"\0\0\0\x18ftyp",
            &brand[..],
            b"\0\0\x02\0isommp41",
            &[0; 300],
        ]
        .concat()
    }

    fn matroska(doctype: &[u8]) -> Vec<u8> {
        let length = 0x80 | u8::try_from(doctype.len()).unwrap();
        let head = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82";
        [&head[..], &[length], doctype, &[0; 300]].concat()
    }

    #[test]
    fn pictures_are_of_four_formats_and_of_the_declared_one() {
        let jpeg = b"\xff\xd8\xff\xe0";
        let found = picture(jpeg, "image/jpeg").unwrap();
        assert_eq!(found, (ImageFormat::Jpeg, "image/jpeg"));
        assert_eq!(picture(jpeg, "IMAGE/JPG; a=b"), Some(found));
        for other in [
            "image/png",
            "text/html",
            "image/svg+xml",
            "",
            "application/octet-stream",
        ] {
            assert_eq!(picture(jpeg, other), None, "{other}");
        }
        let svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>";
        for text in [
            &svg[..],
            b"<!DOCTYPE html><script>",
            b"\xef\xbb\xbf<?xml?>",
            b"",
            b"\xff\xd8",
        ] {
            for declared in ["image/svg+xml", "image/jpeg", "image/png", "text/html"] {
                assert_eq!(picture(text, declared), None);
            }
        }
        assert_eq!(picture(b"BM\0\0\0\0\0\0\0\0", "image/bmp"), None);
        assert_eq!(picture(&ftyp(b"heic"), "image/heic"), None);
    }

    #[test]
    fn videos_are_of_three_containers_and_of_the_declared_one() {
        for brand in [b"isom", b"mp42", b"iso6", b"M4V ", b"avc1", b"3gp4"] {
            assert_eq!(video(&ftyp(brand), "video/mp4"), Some("video/mp4"));
            assert_eq!(video(&ftyp(brand), "video/webm"), None);
        }
        assert_eq!(
            video(&ftyp(b"qt  "), "video/quicktime"),
            Some("video/quicktime")
        );
        assert_eq!(video(&ftyp(b"qt  "), "video/mp4"), None);
        assert_eq!(video(&matroska(b"webm"), "video/webm"), Some("video/webm"));
        assert_eq!(video(&matroska(b"matroska"), "video/webm"), None);
        for brand in [b"heic", b"avif", b"M4A ", b"crx ", b"zzzz"] {
            assert_eq!(video(&ftyp(brand), "video/mp4"), None);
        }
        assert_eq!(video(b"<html>", "video/mp4"), None);
        assert_eq!(video(b"\0\0\0\x18ftyp", "video/mp4"), None);
    }

    #[test]
    fn a_file_keeps_its_declared_type_only_if_the_bytes_agree() {
        let pdf = b"%PDF-1.7 and PK\x03\x04 later";
        assert_eq!(file(pdf, "application/pdf"), "application/pdf");
        assert_eq!(file(pdf, "application/zip"), UNKNOWN);
        assert_eq!(
            file(b"PK\x03\x04....", "application/x-zip-compressed"),
            "application/zip"
        );
        assert_eq!(file(b"ID3\x03", "audio/mpeg"), "audio/mpeg");
        assert_eq!(file(&ftyp(b"iso8"), "video/mp4"), "video/mp4");
        assert_eq!(file(&ftyp(b"heic"), "image/heic"), "image/heif");
        for text in [
            &b"<!DOCTYPE html>"[..],
            b"<html>",
            b"<?xml version='1.0'?>",
            b"#!/bin/sh\n",
            b"{}",
            b"",
        ] {
            for declared in [
                "text/html",
                "text/xml",
                "text/x-shellscript",
                "application/json",
                "image/png",
            ] {
                assert_eq!(file(text, declared), UNKNOWN);
            }
        }
        // Programs are not named either.
        assert_eq!(
            file(b"MZ\x90\0", "application/vnd.microsoft.portable-executable"),
            UNKNOWN
        );
    }
}
