//! Pictures for the tests, and what is hidden in them.

use image::codecs::gif::GifEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, Frame, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use std::io::Cursor;

/// A text that no output may have.
pub const CANARY: &str = "N 59.3293 E 18.0686 canary";

/// A profile of colours of red, green and blue, as far as its header says.
pub const PROFILE: &[u8] = b"a profile of colRGB ................acsp........................\
    ................................................................";

/// A picture of four quarters: red, green, blue, white.
pub fn quarters(width: u32, height: u32) -> DynamicImage {
    let pixel = |x, y| match (x < width / 2, y < height / 2) {
        (true, true) => Rgb([230, 20, 20]),
        (false, true) => Rgb([20, 230, 20]),
        (true, false) => Rgb([20, 20, 230]),
        (false, false) => Rgb([240, 240, 240]),
    };
    RgbImage::from_fn(width, height, pixel).into()
}

/// A disc before nothing.
pub fn disc(width: u32, height: u32) -> DynamicImage {
    let pixel = |x: u32, y: u32| {
        let (dx, dy) = (x.abs_diff(width / 2), y.abs_diff(height / 2));
        let alpha = if dx * dx + dy * dy < width * height / 9 {
            255
        } else {
            0
        };
        Rgba([alpha, 40, 40, alpha])
    };
    RgbaImage::from_fn(width, height, pixel).into()
}

/// The picture as a file.
pub fn encode(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    match format {
        ImageFormat::Jpeg => {
            let encoder = JpegEncoder::new_with_quality(&mut file, 90);
            picture.to_rgb8().write_with_encoder(encoder).unwrap();
        }
        _ => picture.write_to(&mut file, format).unwrap(),
    }
    file.into_inner()
}

/// The file as a picture.
pub fn decode(file: &[u8], format: ImageFormat) -> DynamicImage {
    image::load_from_memory_with_format(file, format).unwrap()
}

/// An EXIF block with this orientation, a description and a position.
pub fn exif(orientation: u16) -> Vec<u8> {
    let text = CANARY.as_bytes();
    let mut block = b"MM\0*\0\0\0\x08\0\x03".to_vec();
    let mut entry = |tag: u16, kind: u16, count: usize, value: u32| {
        block.extend(tag.to_be_bytes());
        block.extend(kind.to_be_bytes());
        block.extend((count as u32).to_be_bytes());
        block.extend(value.to_be_bytes());
    };
    entry(0x010e, 2, text.len(), 50);
    entry(0x0112, 3, 1, u32::from(orientation) << 16);
    entry(0x8825, 4, 1, 50 + text.len() as u32);
    block.extend([0; 4]);
    block.extend(text);
    block.extend(text);
    block
}

/// A segment of a JPEG file.
pub fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 2).unwrap().to_be_bytes();
    [&[0xff, marker], &length[..], body].concat()
}

/// The JPEG file with these bytes behind its first marker.
pub fn jpeg_with(file: &[u8], segments: &[Vec<u8>]) -> Vec<u8> {
    [&file[..2], &segments.concat(), &file[2..]].concat()
}

/// A chunk of a PNG file.
pub fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let named = [&name[..], body].concat();
    let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    let sum = named.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), step)
    });
    let length = (body.len() as u32).to_be_bytes();
    [&length[..], &named, &(!sum).to_be_bytes()].concat()
}

/// The PNG file with these chunks behind its header.
pub fn png_with(file: &[u8], chunks: &[Vec<u8>]) -> Vec<u8> {
    [&file[..33], &chunks.concat(), &file[33..]].concat()
}

/// A PNG file of this size, whatever its pixels are.
pub fn png_of(width: u32, height: u32, bits: u8, colours: u8, pixels: &[u8]) -> Vec<u8> {
    let sizes = [width.to_be_bytes(), height.to_be_bytes()].concat();
    let header = [&sizes[..], &[bits, colours, 0, 0, 0]].concat();
    let chunks = [
        chunk(b"IHDR", &header),
        chunk(b"IDAT", pixels),
        chunk(b"IEND", b""),
    ];
    [&b"\x89PNG\r\n\x1a\n"[..], &chunks.concat()].concat()
}

/// A deflated stream of `side`² zero bytes.
pub fn deflated(side: u32) -> Vec<u8> {
    let file = encode(&DynamicImage::new_luma8(side, side), ImageFormat::Png);
    let mut rest = &file[8..];
    let mut stream = Vec::new();
    while let Some((length, _)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        if &rest[4..8] == b"IDAT" {
            stream.extend(&rest[8..8 + length]);
        }
        rest = &rest[length + 12..];
    }
    stream
}

/// A chunk of a WebP file.
pub fn riff(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_le_bytes();
    let even = &[0][..body.len() % 2];
    [name, &length[..], body, even].concat()
}

/// The chunk of the picture of a lossless WebP file.
pub fn webp_picture(picture: &DynamicImage) -> Vec<u8> {
    encode(picture, ImageFormat::WebP)[12..].to_vec()
}

/// An extended WebP file of this size, with these chunks.
pub fn webp(width: u32, height: u32, flags: u8, chunks: &[Vec<u8>]) -> Vec<u8> {
    let sizes = [width - 1, height - 1].map(|side| side.to_le_bytes());
    let head = [&[flags, 0, 0, 0], &sizes[0][..3], &sizes[1][..3]].concat();
    let body = [b"WEBP", &riff(b"VP8X", &head)[..], &chunks.concat()].concat();
    riff(b"RIFF", &body)
}

/// An animated GIF file that repeats.
pub fn gif(frames: &[DynamicImage]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = GifEncoder::new(&mut file);
    encoder
        .set_repeat(image::codecs::gif::Repeat::Infinite)
        .unwrap();
    for frame in frames {
        encoder.encode_frame(Frame::new(frame.to_rgba8())).unwrap();
    }
    drop(encoder);
    file
}

/// Whether the bytes have the text.
pub fn has(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
