//! What holds for every format and whatever the bytes are.

use super::*;
use image::codecs::gif::GifEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{DynamicImage, ImageEncoder, Rgb, RgbImage};
use proptest::prelude::*;
use std::io::Cursor;

const FORMATS: [ImageFormat; 4] = [
    ImageFormat::Jpeg,
    ImageFormat::Png,
    ImageFormat::Gif,
    ImageFormat::WebP,
];

fn picture(format: ImageFormat) -> Vec<u8> {
    let pixel = |x: u32, y: u32| Rgb([x, y, x ^ y].map(|sample| (sample * 8) as u8));
    let picture = DynamicImage::from(RgbImage::from_fn(24, 16, pixel));
    let mut file = Cursor::new(Vec::new());
    if format == ImageFormat::Gif {
        let mut encoder = GifEncoder::new(&mut file);
        for _ in 0..2 {
            encoder
                .encode_frame(image::Frame::new(picture.to_rgba8()))
                .unwrap();
        }
    } else {
        picture.write_to(&mut file, format).unwrap();
    }
    file.into_inner()
}

fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16 + 2).to_be_bytes();
    [&[0xff, marker], &length[..], body].concat()
}

#[test]
fn a_file_that_ends_early_is_damaged() {
    for format in FORMATS {
        let file = picture(format);
        assert!(strip(format, &file).is_some());
        for length in 0..file.len() {
            assert!(
                strip(format, &file[..length]).is_none(),
                "{format:?} {length}"
            );
        }
    }
}

#[test]
fn other_formats_are_not_taken_apart() {
    for format in FORMATS {
        let file = picture(format);
        for other in FORMATS.into_iter().filter(|other| *other != format) {
            assert!(strip(other, &file).is_none());
        }
        assert!(strip(ImageFormat::Bmp, &file).is_none());
    }
}

#[test]
fn every_scan_of_a_jpeg_is_kept_and_nothing_between_them() {
    let scan = [
        segment(0xda, b"header"),
        b"data\xff\x00\xff\xd3more".to_vec(),
    ]
    .concat();
    // 10 by 20, the second colour at half the width.
    let frame = segment(0xc2, b"\x08\0\x0a\0\x14\x02\x01\x21\0\x02\x11\x01");
    let start = [&b"\xff\xd8"[..], &frame].concat();
    let table = segment(0xc4, b"table");
    let comment = segment(0xfe, b"comment");
    let parts = [
        &start[..],
        &scan,
        &comment,
        &table,
        b"\xff\xd0",
        &scan,
        b"\xff\xff\xd9<html>",
    ];
    let stripped = strip(ImageFormat::Jpeg, &parts.concat()).unwrap();
    let kept = [&start[..], &scan, &table, &scan, b"\xff\xff\xd9"].concat();
    // Filling before a marker is part of the scan.
    assert_eq!(stripped.bytes, kept);
    assert_eq!(stripped.working_bytes, 2 * (10 * 20 + 10 * 10));

    for (scans, is_whole) in [(0, false), (100, true), (101, false)] {
        let file = [&start[..], &scan.repeat(scans), b"\xff\xd9"].concat();
        assert_eq!(strip(ImageFormat::Jpeg, &file).is_some(), is_whole);
    }
    // A second picture in the first.
    let nested = [&start[..], b"\xff\xd8", &scan, b"\xff\xd9"].concat();
    assert!(strip(ImageFormat::Jpeg, &nested).is_none());
}

/// A profile, as far as its header says.
fn profile(length: usize) -> Vec<u8> {
    let mut profile = vec![7; length];
    profile[16..20].copy_from_slice(b"RGB ");
    profile[36..40].copy_from_slice(b"acsp");
    profile
}

#[test]
fn segments_of_a_jpeg_that_are_no_profile_are_removed() {
    let plain = picture(ImageFormat::Jpeg);
    let part = |number: u8, of: u8, bytes: &[u8]| {
        segment(
            0xe2,
            &[&b"ICC_PROFILE\0"[..], &[number, of], bytes].concat(),
        )
    };
    let stripped = |segments: &[Vec<u8>]| {
        let file = [&plain[..2], &segments.concat(), &plain[2..]].concat();
        strip(ImageFormat::Jpeg, &file).unwrap().bytes
    };
    let has = |file: &[u8], part: &[u8]| file.windows(part.len()).any(|at| at == part);
    let whole = profile(128);
    let [first, second] = [part(1, 2, &whole[..30]), part(2, 2, &whole[30..])];
    let both = [&first[..], &second].concat();
    assert!(has(&stripped(&[part(1, 1, &whole)]), &part(1, 1, &whole)));
    for segments in [
        [first.clone(), second.clone()],
        [second.clone(), first.clone()],
    ] {
        let file = stripped(&segments);
        assert!(has(&file, &both));
        assert_eq!(strip(ImageFormat::Jpeg, &file).unwrap().bytes, file);
    }
    let mut unsigned = whole.clone();
    unsigned[36] = b'A';
    let many = (1..=255).map(|number| part(number, 255, &whole));
    let many: Vec<_> = many.collect();
    assert!(has(&stripped(&many), &many.concat()));
    for segments in [
        vec![part(1, 1, &unsigned)],
        vec![part(1, 1, &whole[..127])],
        vec![part(1, 1, b"")],
        vec![part(0, 1, &whole)],
        vec![part(1, 2, &whole)],
        vec![part(1, 1, &whole), part(1, 1, &whole)],
        vec![part(1, 1, &whole), part(2, 1, &whole)],
        vec![first.clone(), second.clone(), second.clone()],
        [many, vec![part(0, 255, &whole)]].concat(),
        vec![segment(0xe2, b"ICC_PROFILE\0"), part(1, 1, &whole)],
    ] {
        assert!(!has(&stripped(&segments), b"ICC_PROFILE"));
    }
}

#[test]
fn what_is_no_profile_is_removed_from_png_and_webp() {
    let file = |format, profile: &[u8]| {
        let mut file = Vec::new();
        let profile = profile.to_vec();
        if format == ImageFormat::Png {
            let mut encoder = PngEncoder::new(&mut file);
            encoder.set_icc_profile(profile).unwrap();
            RgbImage::new(4, 4).write_with_encoder(encoder).unwrap();
        } else {
            let mut encoder = WebPEncoder::new_lossless(&mut file);
            encoder.set_icc_profile(profile).unwrap();
            RgbImage::new(4, 4).write_with_encoder(encoder).unwrap();
        }
        file
    };
    for (format, name) in [(ImageFormat::Png, b"iCCP"), (ImageFormat::WebP, b"ICCP")] {
        for (profile, is_kept) in [(profile(200), true), (vec![7; 200], false)] {
            let before = file(format, &profile);
            let after = strip(format, &before).unwrap().bytes;
            assert_eq!(after == before, is_kept, "{format:?}");
            assert_eq!(after.windows(4).any(|at| at == name), is_kept);
            assert_eq!(strip(format, &after).unwrap().bytes, after);
        }
    }
}

#[test]
fn a_table_of_colours_and_a_text_of_a_gif_are_stepped_over() {
    let head = b"GIF89a\x08\0\x08\0\x91\0\0";
    let frame = [
        b"\x2c\0\0\0\0\x04\0\x02\0\x80".to_vec(),
        vec![9; 6],
        b"\x02\x02\x4c\x01\0".to_vec(),
    ]
    .concat();
    let control = b"\x21\xf9\x04\x01\0\0\0\0";
    let text = b"\x21\x01\x0cxxxxxxxxxxxx\x04text\0";
    let repeated = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x07\0\0";
    let unknown = b"\x21\xff\x0bNETSCAPE2.0\x05\x02\x07\0\0\0\0";
    let table = [7; 12];
    let parts: [&[u8]; 11] = [
        head, &table, repeated, unknown, control, text, control, &frame, text, &frame, b";tail",
    ];
    let stripped = strip(ImageFormat::Gif, &parts.concat()).unwrap();
    let kept: [&[u8]; 7] = [head, &table, repeated, control, &frame, &frame, b";"];
    assert_eq!(stripped.bytes, kept.concat());
    assert_eq!(stripped.working_bytes, 4 * 2 * 4);
    let empty: [&[u8]; 3] = [head, &table, b";"];
    assert!(strip(ImageFormat::Gif, &empty.concat()).is_none());
}

proptest! {
    #[test]
    fn whatever_the_bytes_are_a_second_time_changes_nothing(
        format in proptest::sample::select(&FORMATS[..]),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<Option<(prop::sample::Index, prop::sample::Index)>>(),
    ) {
        let mut file = picture(format);
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if let Some((from, to)) = cut {
            let (from, to) = (from.index(file.len()), to.index(file.len()));
            file.drain(from.min(to)..from.max(to));
        }
        if let Some(once) = strip(format, &file) {
            prop_assert!(once.bytes.len() <= file.len() + 64);
            let twice = strip(format, &once.bytes).unwrap();
            prop_assert_eq!(twice.bytes, once.bytes);
            prop_assert_eq!(twice.orientation, once.orientation);
        }
    }
}
