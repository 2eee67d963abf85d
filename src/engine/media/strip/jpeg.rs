//! JPEG: segments, each behind a marker, and entropy-coded data behind a scan's header.

use super::byte_reader::ByteReader;
use super::{ADDED_BYTES, Stripped, exif, icc};
use image::metadata::Orientation;
use memchr::memchr;

const TEM: u8 = 0x01;
/// The header of a frame that is sent in several scans.
const SOF2: u8 = 0xc2;
const RST0: u8 = 0xd0;
const RST7: u8 = 0xd7;
const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const DQT: u8 = 0xdb;
const DNL: u8 = 0xdc;
const DRI: u8 = 0xdd;
const APP0: u8 = 0xe0;
const APP1: u8 = 0xe1;
const APP2: u8 = 0xe2;
const APP14: u8 = 0xee;

/// What a segment with a part of the ICC profile begins with. The number of the part follows, from 1, and the number of parts.
const ICC: &[u8] = b"ICC_PROFILE\0";

/// The most scans. Encoders make about ten. A scan of a few bytes can be work for every block of the picture.
const MAX_SCANS: usize = 100;

pub fn strip(bytes: &[u8]) -> Option<Stripped> {
    let mut input = ByteReader(bytes);
    if input.array()? != [0xff, SOI] {
        return None;
    }
    let mut head = vec![0xff, SOI];
    let mut rest = Vec::with_capacity(bytes.len() + ADDED_BYTES);
    let mut orientation = None;
    let mut profile = Vec::new();
    let mut scans = 0;
    let mut working_bytes = 0;
    loop {
        let marker = next_marker(&mut input)?;
        match marker {
            EOI => break,
            SOI => return None,
            // Between scans these have no meaning.
            TEM | RST0..=RST7 => continue,
            _ => {}
        }
        let length = u16::from_be_bytes(input.array()?).checked_sub(2)?;
        let body = input.take(length.into())?;
        if marker == SOF2 {
            working_bytes = coefficient_bytes(body)?;
        }
        match marker {
            // The density, without the preview.
            APP0 if body.starts_with(b"JFIF\0") && head.len() == 2 => {
                put(&mut head, APP0, &[body.get(..12)?, &[0, 0]]);
            }
            APP1 if body.starts_with(b"Exif\0\0") => {
                orientation = orientation.or(exif::orientation(body))
            }
            APP2 if body.starts_with(ICC) => profile.push(body),
            // It says how the colours are stored.
            APP14 if body.starts_with(b"Adobe") => put(&mut rest, marker, &[body.get(..12)?]),
            // 0xc0 to 0xcf: the header of the frame, and tables. 0xc8 is none.
            0xc0..=0xc7 | 0xc9..=0xcf | DQT | DNL | DRI => put(&mut rest, marker, &[body]),
            SOS => {
                scans += 1;
                put(&mut rest, marker, &[body]);
                let length = entropy_length(input.0)?;
                rest.extend_from_slice(input.take(length)?);
            }
            _ => {}
        }
    }
    if scans == 0 || scans > MAX_SCANS {
        return None;
    }
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    if let Some(block) = exif::block(orientation) {
        put(&mut head, APP1, &[b"Exif\0\0", &block]);
    }
    profile.sort_by_key(|part| part.get(ICC.len()).copied());
    if is_profile(&profile) {
        for part in profile {
            put(&mut head, APP2, &[part]);
        }
    }
    rest.splice(0..0, head);
    rest.extend_from_slice(&[0xff, EOI]);
    Some(Stripped {
        bytes: rest,
        orientation,
        working_bytes,
    })
}

/// Whether these segments, in the order of their numbers, are all parts of one profile.
fn is_profile(segments: &[&[u8]]) -> bool {
    let mut profile = Vec::new();
    for (number, segment) in (1..=u8::MAX).zip(segments) {
        match segment.get(ICC.len()..) {
            Some([at, of, part @ ..]) if *at == number && usize::from(*of) == segments.len() => {
                profile.extend_from_slice(part);
            }
            _ => return false,
        }
    }
    icc::is_profile(&profile)
}

/// The bytes of the coefficients of all blocks, which a decoder holds until the last scan.
fn coefficient_bytes(frame: &[u8]) -> Option<u64> {
    let [_, h0, h1, w0, w1, _, components @ ..] = frame else {
        return None;
    };
    let area =
        u64::from(u16::from_be_bytes([*h0, *h1])) * u64::from(u16::from_be_bytes([*w0, *w1]));
    let factors = |component: &[u8; 3]| u64::from((component[1] >> 4) * (component[1] & 15));
    let factors: Vec<_> = components.as_chunks().0.iter().map(factors).collect();
    let most = factors.iter().max().copied()?;
    (factors.iter().sum::<u64>() * area * 2).checked_div(most)
}

/// The next marker. Other bytes before it are skipped, as decoders do.
fn next_marker(input: &mut ByteReader) -> Option<u8> {
    loop {
        input.take(memchr(0xff, input.0)?)?;
        while input.0.first() == Some(&0xff) {
            input.byte()?;
        }
        match input.byte()? {
            0 => {}
            marker => return Some(marker),
        }
    }
}

/// The length of entropy-coded data: up to a marker that is not part of it.
fn entropy_length(data: &[u8]) -> Option<usize> {
    let mut markers = memchr::memchr_iter(0xff, data);
    markers.find(|at| !matches!(data.get(at + 1), Some(0 | 0xff | RST0..=RST7)))
}

fn put(output: &mut Vec<u8>, marker: u8, parts: &[&[u8]]) {
    // Not longer than the segment that was read.
    let length = parts.iter().map(|part| part.len()).sum::<usize>() as u16 + 2;
    output.extend_from_slice(&[0xff, marker]);
    output.extend_from_slice(&length.to_be_bytes());
    for part in parts {
        output.extend_from_slice(part);
    }
}
