//! The decoder: a child process that takes uploads apart, and what becomes of hostile ones.
//!
//! This file is long because its tests share what a picture in each format has to keep and to lose.

use super::decoder_process::{PROGRAM, Script, patiently};
use super::pictures::{
    self, CANARY, PROFILE, chunk, encode, has, jpeg_with, png_with, riff, segment, webp,
    webp_picture,
};
use bytes::Bytes;
use image::ImageFormat::{Gif, Jpeg, Png, WebP};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::metadata::Orientation;
use image::{
    AnimationDecoder, DynamicImage, GenericImageView, ImageDecoder, ImageEncoder, ImageFormat,
    ImageReader,
};
use std::io::Cursor;
use tideline::engine::media::decoder::{Decoder, Inspection, Output};
use tideline::engine::media::protocol::{OutputName, Rejection};
use tideline::model::wire::media::MediaKind;

/// A picture of more bytes always has a small variant.
const LIGHT: usize = 64 * 1024;

/// A picture that was accepted.
struct Accepted {
    mime: String,
    size: (u32, u32),
    thumbhash: Vec<u8>,
    outputs: Vec<Output>,
}

impl Accepted {
    fn output(&self, name: OutputName) -> Option<&Output> {
        self.outputs.iter().find(|output| output.name == name)
    }

    fn original(&self) -> &[u8] {
        &self.output(OutputName::Original).unwrap().bytes
    }

    /// The variants: name, type, width, height. Each is the picture that it says it is.
    fn variants(&self) -> Vec<(&str, &str, u32, u32)> {
        let variants = self.outputs.iter().skip(1);
        let described = variants.map(|variant| {
            let format = ImageFormat::from_mime_type(&variant.mime).unwrap();
            let picture = pictures::decode(&variant.bytes, format);
            assert_eq!(picture.dimensions(), (variant.width, variant.height));
            (
                variant.name.as_str(),
                variant.mime.as_str(),
                variant.width,
                variant.height,
            )
        });
        described.collect()
    }
}

async fn inspect(kind: MediaKind, mime: &str, file: &[u8]) -> Inspection {
    let decoder = Decoder::new(PROGRAM.into(), 1);
    patiently(&decoder, kind, mime, &Bytes::copy_from_slice(file)).await
}

async fn accept(file: &[u8], format: ImageFormat) -> Accepted {
    match inspect(MediaKind::Image, format.to_mime_type(), file).await {
        Inspection::Accepted {
            mime,
            width,
            height,
            thumbhash,
            outputs,
        } => Accepted {
            mime,
            size: (width.unwrap(), height.unwrap()),
            thumbhash: thumbhash.unwrap(),
            outputs,
        },
        Inspection::Rejected(reason) => panic!("rejected: {}", reason.as_str()),
    }
}

async fn reject(file: &[u8], mime: &str) -> Rejection {
    match inspect(MediaKind::Image, mime, file).await {
        Inspection::Rejected(reason) => reason,
        Inspection::Accepted { .. } => panic!("accepted"),
    }
}

/// The metadata that a decoder sees.
fn metadata(file: &[u8], format: ImageFormat) -> (Orientation, Option<Vec<u8>>) {
    let reader = ImageReader::with_format(Cursor::new(file), format);
    let mut decoder = reader.into_decoder().unwrap();
    assert_eq!(decoder.xmp_metadata().unwrap(), None);
    assert_eq!(decoder.iptc_metadata().unwrap(), None);
    (
        decoder.orientation().unwrap(),
        decoder.icc_profile().unwrap(),
    )
}

/// Each format with metadata in every place that it has for them.
fn marked() -> Vec<(ImageFormat, Vec<u8>)> {
    let canary = CANARY.as_bytes();
    let named = |name: &[u8]| [name, canary].concat();
    let picture = pictures::quarters(400, 300);
    let script = named(b"<script>alert(1)</script>");

    let profile = named(b"ICC_PROFILE\0\x01\x01");
    let icc = [&profile[..14], PROFILE].concat();
    let head = [
        segment(
            0xe0,
            &[
                &b"JFIF\0\x01\x01\0\0\x01\0\x01\x02\x02"[..],
                &[7; 12],
                canary,
            ]
            .concat(),
        ),
        segment(0xe1, &[b"Exif\0\0", &pictures::exif(6)[..]].concat()),
        segment(0xe1, &named(b"http://ns.adobe.com/xap/1.0/\0")),
        segment(0xe2, &icc),
        segment(0xe2, &named(b"MPF\0")),
        segment(0xe5, canary),
        segment(0xed, &named(b"Photoshop 3.0\x008BIM")),
        segment(0xee, &named(b"Adobe\0\x64\0\0\0\0\x01")),
        segment(0xfe, canary),
    ];
    let plain = encode(&picture, Jpeg);
    let mut jpeg = jpeg_with(&plain, &head);
    let end = jpeg.len() - 2;
    jpeg.splice(end..end, segment(0xfe, canary));
    jpeg.extend(&script);

    let text = [
        chunk(b"eXIf", &pictures::exif(6)),
        chunk(b"iCCP", &[b"icc\0\0", &stored(PROFILE)[..]].concat()),
        chunk(b"tEXt", &named(b"Comment\0")),
        chunk(b"zTXt", &[b"Comment\0\0", &stored(canary)[..]].concat()),
        chunk(b"iTXt", &named(b"XML:com.adobe.xmp\0\0\0\0\0")),
        chunk(b"tIME", &[7, 230, 1, 2, 3, 4, 5]),
        chunk(b"prVt", canary),
    ];
    let mut png = png_with(&encode(&picture, Png), &text);
    let end = png.len() - 12;
    png.splice(end..end, chunk(b"tEXt", &named(b"Author\0")));
    png.extend(&script);

    let chunks = [
        pictures::riff(b"ICCP", PROFILE),
        pictures::webp_picture(&picture),
        pictures::riff(b"EXIF", &pictures::exif(6)),
        pictures::riff(b"XMP ", canary),
        pictures::riff(b"prvt", canary),
    ];
    let mut webp = pictures::webp(400, 300, 0b0010_1100, &chunks);
    webp.extend(&script);

    let length = u8::try_from(canary.len()).unwrap();
    let data = [&[length], canary, &[0]].concat();
    let blocks = [
        [b"\x21\xfe", &data[..]].concat(),
        [
            b"\x21\xf9\x04\0\0\0\0\0\x21\x01\x0c\0\0\0\0\0\0\0\0\0\0\0\0",
            &data[..],
        ]
        .concat(),
        [b"\x21\xff\x0bXMP DataXMP", &data[..]].concat(),
        [b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x05\0", &data[..]].concat(),
    ];
    let mut gif = pictures::gif(&[picture.clone(), picture.rotate180()]);
    let end = gif.len() - 1;
    gif.splice(end..end, blocks.concat());
    gif.extend(&script);
    vec![(Jpeg, jpeg), (Png, png), (WebP, webp), (Gif, gif)]
}

/// A zlib stream that is not compressed.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    let (mut a, mut b) = (1u32, 0u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    let lengths = [length.to_le_bytes(), (!length).to_le_bytes()].concat();
    [
        b"\x78\x01\x01",
        &lengths[..],
        bytes,
        &(b << 16 | a).to_be_bytes(),
    ]
    .concat()
}

#[tokio::test]
async fn metadata_is_removed_and_the_pixels_stay() {
    for (format, file) in marked() {
        assert!(has(&file, CANARY.as_bytes()));
        let accepted = accept(&file, format).await;
        for output in &accepted.outputs {
            let name = output.name.as_str();
            assert!(!has(&output.bytes, b"canary"), "{format:?} {name}");
            assert!(!has(&output.bytes, b"script"), "{format:?} {name}");
        }
        let original = accepted.original();
        assert_eq!(accepted.mime, format.to_mime_type());
        assert_eq!(
            pictures::decode(original, format),
            pictures::decode(&file, format)
        );
        let expected = match format {
            Gif => (Orientation::NoTransforms, None),
            _ => (Orientation::Rotate90, Some(PROFILE.to_vec())),
        };
        assert_eq!(metadata(original, format), expected, "{format:?}");
        // What was removed is nearly all that changed.
        assert!(original.len() + 100 < file.len());
        // A second time, nothing is left to remove.
        assert_eq!(accept(original, format).await.original(), original);
    }
}

/// The same picture with an ICC profile.
fn coloured(picture: &DynamicImage, format: ImageFormat, profile: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let profile = profile.to_vec();
    match format {
        Jpeg => {
            let mut encoder = JpegEncoder::new(&mut file);
            encoder.set_icc_profile(profile).unwrap();
            picture.to_rgb8().write_with_encoder(encoder).unwrap();
        }
        Png => {
            let mut encoder = PngEncoder::new(&mut file);
            encoder.set_icc_profile(profile).unwrap();
            picture.write_with_encoder(encoder).unwrap();
        }
        _ => {
            let mut encoder = WebPEncoder::new_lossless(&mut file);
            encoder.set_icc_profile(profile).unwrap();
            picture.write_with_encoder(encoder).unwrap();
        }
    }
    file
}

#[tokio::test]
async fn variants_have_the_profile_of_their_picture() {
    let profile = |length: usize, colours: &[u8; 4]| {
        let mut profile = PROFILE.to_vec();
        profile.resize(length, b'.');
        profile[16..20].copy_from_slice(colours);
        profile
    };
    let (opaque, clear) = (pictures::quarters(1300, 650), pictures::disc(1300, 650));
    let largest = 64 * 1024;
    for (picture, format) in [
        (&opaque, Jpeg),
        (&opaque, Png),
        (&clear, Png),
        (&clear, WebP),
    ] {
        for (profile, is_taken) in [
            (profile(128, b"RGB "), true),
            (profile(largest, b"RGB "), true),
            (profile(largest + 1, b"RGB "), false),
            // Of other colours than those of a variant.
            (profile(128, b"CMYK"), false),
            (profile(128, b"GRAY"), false),
        ] {
            let accepted = accept(&coloured(picture, format, &profile), format).await;
            let upright = Orientation::NoTransforms;
            let original = metadata(accepted.original(), format);
            assert_eq!(original, (upright, Some(profile.clone())));
            assert_eq!(accepted.variants().len(), 2);
            for variant in &accepted.outputs[1..] {
                let format = ImageFormat::from_mime_type(&variant.mime).unwrap();
                let expected = is_taken.then(|| profile.clone());
                assert_eq!(metadata(&variant.bytes, format), (upright, expected));
            }
        }
    }
    // What is no profile is in none of the files.
    let file = coloured(&opaque, Jpeg, &[7; 200]);
    for output in accept(&file, Jpeg).await.outputs {
        assert_eq!(metadata(&output.bytes, Jpeg).1, None);
    }
}

#[tokio::test]
async fn a_picture_without_metadata_stays_as_it_is() {
    let picture = pictures::disc(300, 200);
    for format in [Png, WebP, Gif] {
        let file = encode(&picture, format);
        assert_eq!(accept(&file, format).await.original(), file, "{format:?}");
    }
    let file = encode(&picture, Jpeg);
    assert_eq!(accept(&file, Jpeg).await.original(), file);
}

#[tokio::test]
async fn animations_keep_their_frames_and_show_the_first() {
    let (first, second) = (pictures::quarters(400, 300), pictures::disc(400, 300));
    let gif = pictures::gif(&[first.clone(), second.clone(), first.clone()]);
    let accepted = accept(&gif, Gif).await;
    let decoder = image::codecs::gif::GifDecoder::new(Cursor::new(accepted.original())).unwrap();
    assert_eq!(decoder.into_frames().count(), 3);
    assert!(has(accepted.original(), b"NETSCAPE2.0"));

    let frame = |picture: &DynamicImage, extra: &[u8]| {
        let sizes = [399u32, 299].map(|side| side.to_le_bytes());
        let head = [&[0; 6], &sizes[0][..3], &sizes[1][..3], &[100, 0, 0, 0]].concat();
        let body = [head, pictures::webp_picture(picture), extra.to_vec()].concat();
        pictures::riff(b"ANMF", &body)
    };
    let canary = pictures::riff(b"prvt", CANARY.as_bytes());
    let chunks = [
        pictures::riff(b"ANIM", &[0; 6]),
        frame(&first, &canary),
        frame(&second, &[]),
    ];
    let webp = accept(&pictures::webp(400, 300, 0b0001_0010, &chunks), WebP).await;
    let decoder = image::codecs::webp::WebPDecoder::new(Cursor::new(webp.original())).unwrap();
    assert_eq!(decoder.into_frames().count(), 2);
    assert!(!has(webp.original(), b"canary"));

    // An APNG whose second frame is the first once more.
    let plain = encode(&first, Png);
    let at = plain.windows(4).position(|name| name == b"IDAT").unwrap() - 4;
    let pixels = &plain[at + 8..plain.len() - 16];
    let control = |number: u8| {
        let sizes = [400u32, 300, 0, 0].map(u32::to_be_bytes).concat();
        chunk(
            b"fcTL",
            &[&[0, 0, 0, number], &sizes[..], &[0, 1, 0, 10, 0, 0]].concat(),
        )
    };
    let animated = [
        &plain[..33],
        &chunk(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0]),
        &control(0),
        &plain[at..plain.len() - 12],
        &control(1),
        &chunk(b"fdAT", &[&[0, 0, 0, 2], pixels].concat()),
        &plain[plain.len() - 12..],
    ];
    let apng = accept(&animated.concat(), Png).await;
    let decoder = image::codecs::png::PngDecoder::new(Cursor::new(apng.original())).unwrap();
    assert_eq!(decoder.apng().unwrap().into_frames().count(), 2);

    for accepted in [&accepted, &webp, &apng] {
        assert_eq!(
            corners(accepted.output(OutputName::Small).unwrap()),
            corners_of(&first)
        );
    }
}

/// Which of red, green, blue and white the middle of each quarter is.
fn corners_of(picture: &DynamicImage) -> Vec<[bool; 3]> {
    let (width, height) = picture.dimensions();
    let middles = [(1, 1), (3, 1), (1, 3), (3, 3)];
    let colours = middles.map(|(x, y)| {
        let [red, green, blue, _] = picture.get_pixel(width * x / 4, height * y / 4).0;
        [red, green, blue].map(|sample| sample > 128)
    });
    colours.to_vec()
}

fn corners(output: &Output) -> Vec<[bool; 3]> {
    let format = ImageFormat::from_mime_type(&output.mime).unwrap();
    corners_of(&pictures::decode(&output.bytes, format))
}

#[tokio::test]
async fn sizes_and_variants_are_upright_for_all_orientations() {
    for value in 1..=8u8 {
        // The larger variant once.
        let side = if value == 6 { 1300 } else { 640 };
        let picture = pictures::quarters(side, side / 2);
        let plain = [Jpeg, Png].map(|format| encode(&picture, format));
        let orientation = Orientation::from_exif(value).unwrap();
        let block = pictures::exif(value.into());
        let webp = [
            pictures::webp_picture(&picture),
            pictures::riff(b"EXIF", &block),
        ];
        let files = [
            (
                Jpeg,
                jpeg_with(
                    &plain[0],
                    &[segment(0xe1, &[b"Exif\0\0", &block[..]].concat())],
                ),
            ),
            (Png, png_with(&plain[1], &[chunk(b"eXIf", &block)])),
            (WebP, pictures::webp(side, side / 2, 0b1000, &webp)),
        ];
        let mut upright = picture.clone();
        upright.apply_orientation(orientation);
        for (format, file) in files {
            let accepted = accept(&file, format).await;
            assert_eq!(accepted.size, upright.dimensions());
            assert_eq!(
                metadata(accepted.original(), format).0,
                orientation,
                "{format:?}"
            );
            let expected: &[_] = match value {
                1..=4 => &[("small", "image/jpeg", 320, 160)],
                6 => &[
                    ("small", "image/jpeg", 160, 320),
                    ("medium", "image/jpeg", 640, 1280),
                ],
                _ => &[("small", "image/jpeg", 160, 320)],
            };
            assert_eq!(accepted.variants(), expected);
            for variant in &accepted.outputs[1..] {
                assert_eq!(corners(variant), corners_of(&upright), "{format:?} {value}");
                assert_eq!(
                    metadata(&variant.bytes, Jpeg),
                    (Orientation::NoTransforms, None)
                );
            }
            let (width, height, _) = thumbhash::thumb_hash_to_rgba(&accepted.thumbhash).unwrap();
            assert_eq!(width > height, value <= 4);
        }
    }
}

#[tokio::test]
async fn variants_are_smaller_than_the_picture_and_keep_transparency() {
    let none: &[(&str, &str, u32, u32)] = &[];
    let small = ("small", "image/jpeg", 320, 160);
    let cases = [
        (pictures::quarters(1, 1), none.to_vec()),
        (pictures::quarters(320, 320), none.to_vec()),
        (
            pictures::quarters(321, 160),
            vec![("small", "image/jpeg", 320, 160)],
        ),
        (pictures::quarters(1280, 640), vec![small]),
        (
            pictures::quarters(1300, 650),
            vec![small, ("medium", "image/jpeg", 1280, 640)],
        ),
        (
            pictures::quarters(3, 6000),
            vec![
                ("small", "image/jpeg", 1, 320),
                ("medium", "image/jpeg", 1, 1280),
            ],
        ),
        (
            pictures::disc(640, 320),
            vec![("small", "image/webp", 320, 160)],
        ),
        // Transparency that is nowhere used.
        (pictures::quarters(640, 320).to_rgba8().into(), vec![small]),
        (pictures::quarters(640, 320).to_rgba16().into(), vec![small]),
        (
            pictures::disc(640, 320).to_luma_alpha8().into(),
            vec![("small", "image/webp", 320, 160)],
        ),
        (
            pictures::disc(640, 320).to_luma_alpha16().into(),
            vec![("small", "image/webp", 320, 160)],
        ),
        (pictures::quarters(640, 320).to_luma16().into(), vec![small]),
    ];
    for (picture, expected) in cases {
        let accepted = accept(&encode(&picture, Png), Png).await;
        assert_eq!(accepted.variants(), expected);
        assert_eq!(accepted.size, picture.dimensions());
        assert!((1..=25).contains(&accepted.thumbhash.len()));
    }
    // The colours of pixels that are not seen do not show at the edge.
    let accepted = accept(&encode(&pictures::disc(640, 640), Png), Png).await;
    let variant = accepted.output(OutputName::Small).unwrap();
    let edges = pictures::decode(&variant.bytes, WebP).to_rgba8();
    let edges = edges.pixels();
    let edges: Vec<_> = edges
        .filter(|pixel| (60..200).contains(&pixel.0[3]))
        .collect();
    assert!(!edges.is_empty());
    assert!(edges.iter().all(|pixel| pixel.0[0] > 240));
}

/// An avatar of few pixels and many frames is loaded by everybody who sees a message of its user.
#[tokio::test]
async fn small_picture_of_many_bytes_has_a_light_variant() {
    let frames = vec![pictures::disc(100, 100); 300];
    let heavy = pictures::gif(&frames);
    assert!(heavy.len() > LIGHT, "{}", heavy.len());
    let accepted = accept(&heavy, Gif).await;
    assert_eq!(accepted.variants(), [("small", "image/webp", 100, 100)]);
    let variant = accepted.output(OutputName::Small).unwrap();
    assert!(variant.bytes.len() < LIGHT);
    let light = accept(&pictures::gif(&frames[..2]), Gif).await;
    assert_eq!(light.variants(), []);
}

#[tokio::test]
async fn large_pictures_are_refused_by_their_header() {
    // Their pixels are none: a decoder that reads them finds damage.
    let refused = [
        pictures::png_of(100_000, 100_000, 8, 2, b"xx"),
        pictures::png_of(16_000, 16_000, 8, 0, b"xx"),
        pictures::png_of(7_000, 7_000, 16, 6, b"xx"),
        pictures::png_of(16_385, 1, 8, 0, b"xx"),
        pictures::png_of(1, 16_385, 8, 0, b"xx"),
        pictures::png_of(7_100, 7_100, 8, 0, b"xx"),
    ];
    assert_eq!(refused[0].len(), 59);
    for file in refused {
        assert_eq!(reject(&file, "image/png").await, Rejection::Dimensions);
    }
    let allowed = pictures::png_of(7_000, 7_000, 8, 0, b"xx");
    assert_eq!(reject(&allowed, "image/png").await, Rejection::Damaged);

    let screen = |width: u16, height: u16, frame: u16| {
        let [width, height, frame] = [width, height, frame].map(u16::to_le_bytes);
        let screen = [
            &b"GIF89a"[..],
            &width,
            &height,
            &[0x80, 0, 0, 0, 0, 0, 255, 255, 255],
        ];
        let picture = [
            &b"\x2c\0\0\0\0"[..],
            &frame,
            &frame,
            &[0, 2, 2, 0x4c, 1, 0, 0x3b],
        ];
        [screen.concat(), picture.concat()].concat()
    };
    for file in [screen(65_535, 65_535, 1), screen(10, 10, 65_535)] {
        assert_eq!(reject(&file, "image/gif").await, Rejection::Dimensions);
    }
    let mut jpeg = encode(&pictures::quarters(16, 16), Jpeg);
    let at = jpeg
        .windows(2)
        .position(|marker| marker == b"\xff\xc0")
        .unwrap();
    jpeg[at + 5..at + 9].copy_from_slice(&[0x40; 4]);
    assert_eq!(reject(&jpeg, "image/jpeg").await, Rejection::Dimensions);
    let webp = pictures::webp(
        16_385,
        1,
        0,
        &[pictures::webp_picture(&pictures::quarters(8, 8))],
    );
    assert_eq!(reject(&webp, "image/webp").await, Rejection::Dimensions);
}

#[tokio::test]
async fn compressed_metadata_is_not_inflated() {
    // 256 MB each.
    let bomb = pictures::deflated(16_000);
    let named = |name: &[u8]| [name, &bomb].concat();
    let plain = encode(&pictures::quarters(400, 300), Png);
    let chunks = [
        chunk(b"iCCP", &named(b"icc\0\0")),
        chunk(b"zTXt", &named(b"Comment\0\0")),
        chunk(b"iTXt", &named(b"Comment\0\x01\0\0\0")),
    ];
    // Less memory than one of them needs.
    let script = Script::new(&format!("ulimit -v 300000; exec {PROGRAM} decode"));
    for chunk in chunks {
        let file = png_with(&plain, &[chunk]);
        let decoder = Decoder::new(script.path.clone(), 1);
        let inspection = patiently(&decoder, MediaKind::Image, "image/png", &file.into()).await;
        let Inspection::Accepted { outputs, .. } = inspection else {
            panic!("rejected");
        };
        assert_eq!(outputs[0].bytes, plain);
    }
}

#[tokio::test]
async fn an_animation_of_65535_frames_is_accepted() {
    let mut frames = pictures::gif(&[pictures::quarters(400, 300)]);
    frames.pop();
    let frame = b"\x21\xf9\x04\0\0\0\0\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x4c\x01\0";
    frames.extend(frame.repeat(65_534));
    frames.push(0x3b);
    let accepted = accept(&frames, Gif).await;
    assert_eq!(accepted.original(), frames);
    assert_eq!(accepted.outputs.len(), 2);
}

#[tokio::test]
async fn files_that_are_cut_off_are_damaged() {
    for (format, file) in marked() {
        let mime = format.to_mime_type();
        let whole = accept(&file, format).await;
        let file = whole.original();
        for length in [file.len() / 2, file.len() - 1, 40] {
            let reason = reject(&file[..length], mime).await;
            assert_eq!(reason, Rejection::Damaged, "{format:?} {length}");
        }
        for length in [0, 3] {
            let reason = reject(&file[..length], mime).await;
            assert!(matches!(reason, Rejection::Damaged | Rejection::Type));
        }
    }
    // The container is whole, the picture in it is not.
    let file = pictures::png_of(100, 100, 8, 2, &pictures::deflated(50));
    assert_eq!(reject(&file, "image/png").await, Rejection::Damaged);
    let empty = jpeg_with(b"\xff\xd8\xff\xd9", &[]);
    assert_eq!(reject(&empty, "image/jpeg").await, Rejection::Damaged);
}

#[tokio::test]
async fn files_of_two_types_are_pictures_only() {
    let script = b"<html><script>alert('canary')</script>";
    let mut files = vec![];
    for format in [Jpeg, Png, Gif, WebP] {
        let picture = encode(&pictures::quarters(400, 300), format);
        files.push((format, [&picture, &script[..]].concat()));
        files.push((format, [&picture, &b"PK\x03\x04canary"[..]].concat()));
    }
    let jpeg = encode(&pictures::quarters(400, 300), Jpeg);
    files.push((Jpeg, jpeg_with(&jpeg, &[segment(0xfe, script)])));
    // Behind the size of the screen, which begins a comment of JavaScript, lies a block that ends it.
    let mut gif = encode(&pictures::quarters(400, 300), Gif);
    let end = gif.len() - 1;
    gif.splice(
        end..end,
        b"\x21\xfe\x15*/=1;alert('canary');\0".iter().copied(),
    );
    files.push((Gif, gif));
    // Bodies of chunks that have none, or shorter ones, and chunks that belong to no picture.
    let png = encode(&pictures::quarters(400, 300), Png);
    let archive = chunk(b"IEND", b"PK\x03\x04canary");
    files.push((Png, [&png[..png.len() - 12], &archive].concat()));
    for (name, body) in [
        (b"pHYs", &b"123456789canary"[..]),
        (b"fdAT", b"canary"),
        (b"PLTE", b"123456canary"),
        (b"tRNS", b"123456canary"),
        (b"cHRM", b"canary"),
        (
            b"iCCP",
            &[b"icc\0\0", &stored(PROFILE)[..], b"canary"].concat(),
        ),
    ] {
        files.push((Png, png_with(&png, &[chunk(name, body)])));
    }
    let behind = chunk(b"IDAT", b"PK\x03\x04canary");
    let end = png.len() - 12;
    files.push((Png, [&png[..end], &behind, &png[end..]].concat()));
    let code = segment(0xc8, b"canary");
    files.push((Jpeg, jpeg_with(&jpeg, &[code])));
    let picture = webp_picture(&pictures::quarters(400, 300));
    for chunks in [
        [picture.clone(), riff(b"ALPH", b"canary")],
        [picture, riff(b"VP8X", b"0123456789canary")],
    ] {
        files.push((WebP, webp(400, 300, 0, &chunks)));
    }
    for (format, file) in files {
        assert!(has(&file, b"canary"));
        let accepted = accept(&file, format).await;
        for output in &accepted.outputs {
            assert!(!has(&output.bytes, b"canary"), "{format:?}");
        }
    }
}

#[tokio::test]
async fn a_type_that_the_bytes_do_not_have_is_refused() {
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>";
    let html = b"<!DOCTYPE html><script>alert(1)</script>";
    let jpeg = encode(&pictures::quarters(8, 8), Jpeg);
    let lies: [(&[u8], &str); 7] = [
        (svg, "image/svg+xml"),
        (svg, "image/png"),
        (html, "image/jpeg"),
        (html, "text/html"),
        (&jpeg, "image/png"),
        (&jpeg, "text/html"),
        (b"%PDF-1.7", "image/jpeg"),
    ];
    for (file, mime) in lies {
        assert_eq!(reject(file, mime).await, Rejection::Type, "{mime}");
    }
    let video = [b"\0\0\0\x18ftypisom", &[0; 20_000][..]].concat();
    for (kind, file, mime, expected) in [
        (MediaKind::Video, &video[..], "video/mp4", Some("video/mp4")),
        (MediaKind::Video, &video, "video/webm", None),
        (MediaKind::Video, &jpeg, "video/mp4", None),
        (MediaKind::File, &video, "video/mp4", Some("video/mp4")),
        (
            MediaKind::File,
            &jpeg,
            "image/png",
            Some("application/octet-stream"),
        ),
        (
            MediaKind::File,
            html,
            "text/html",
            Some("application/octet-stream"),
        ),
        (
            MediaKind::File,
            svg,
            "image/svg+xml",
            Some("application/octet-stream"),
        ),
        (
            MediaKind::File,
            b"%PDF-1.7 PK\x03\x04",
            "application/pdf",
            Some("application/pdf"),
        ),
        (
            MediaKind::File,
            b"%PDF-1.7 PK\x03\x04",
            "application/zip",
            Some("application/octet-stream"),
        ),
        (
            MediaKind::File,
            b"",
            "a\0b\r\n\u{202e}",
            Some("application/octet-stream"),
        ),
    ] {
        let found = match inspect(kind, mime, file).await {
            Inspection::Accepted {
                mime,
                width: None,
                height: None,
                thumbhash: None,
                outputs,
            } => {
                assert!(outputs.is_empty());
                Some(mime)
            }
            Inspection::Rejected(Rejection::Type) => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(found.as_deref(), expected, "{mime}");
    }
}
