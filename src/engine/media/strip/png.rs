//! PNG: chunks of a length, a name, a body and a checksum.

use super::byte_reader::ByteReader;
use super::{ADDED_BYTES, Stripped, exif, icc};
use image::codecs::png::PngDecoder;
use image::metadata::Orientation;
use image::{ImageDecoder, Limits};
use std::io::Cursor;

const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// What is kept beside the header, profile and end: pixels, frames, colours and density, each up to the length that it may have.
const KEPT: [(&[u8; 4], usize); 15] = [
    (b"IDAT", usize::MAX),
    (b"fdAT", usize::MAX),
    (b"PLTE", 768),
    (b"tRNS", 256),
    (b"acTL", 8),
    (b"fcTL", 26),
    (b"bKGD", 6),
    (b"cHRM", 32),
    (b"cICP", 4),
    (b"cLLI", 8),
    (b"gAMA", 4),
    (b"mDCV", 24),
    (b"pHYs", 9),
    (b"sBIT", 4),
    (b"sRGB", 1),
];

/// The end, which has no body.
const END: [u8; FRAME] = *b"\0\0\0\0IEND\xae\x42\x60\x82";

/// The largest ICC profile. A larger one, or one that cannot be read, is not kept.
const MAX_ICC_BYTES: u64 = 4 << 20;

/// The length of a chunk beside its body.
const FRAME: usize = 12;

pub fn strip(bytes: &[u8]) -> Option<Stripped> {
    let all = take_apart(bytes, true)?;
    if !all.has_profile || has_small_profile(&all.stripped.bytes) {
        return Some(all.stripped);
    }
    take_apart(bytes, false).map(|without| without.stripped)
}

struct Parts {
    stripped: Stripped,
    has_profile: bool,
}

fn take_apart(bytes: &[u8], with_profile: bool) -> Option<Parts> {
    let mut input = ByteReader(bytes);
    if input.array()? != SIGNATURE {
        return None;
    }
    let (name, header) = next_chunk(&mut input)?;
    if name != b"IHDR" {
        return None;
    }
    let mut output = Vec::with_capacity(bytes.len() + ADDED_BYTES);
    output.extend_from_slice(&SIGNATURE);
    output.extend_from_slice(header);
    let after_header = output.len();
    let mut orientation = None;
    let (mut has_profile, mut is_animated) = (false, false);
    loop {
        let (name, chunk) = next_chunk(&mut input)?;
        match name {
            b"eXIf" => {
                let body = chunk.get(8..chunk.len() - 4)?;
                orientation = orientation.or(exif::orientation(body));
            }
            b"iCCP" => {
                has_profile = true;
                if with_profile {
                    output.extend_from_slice(chunk);
                }
            }
            b"IEND" => break,
            // Without the chunk that makes it an animation, a file has no frames.
            b"fdAT" | b"fcTL" if !is_animated => {}
            _ => {
                let mut kept = KEPT.iter();
                if kept.any(|(kept, most)| *kept == name && chunk.len() - FRAME <= *most) {
                    output.extend_from_slice(chunk);
                    is_animated |= name == b"acTL";
                }
            }
        }
    }
    output.extend_from_slice(&END);
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    if let Some(block) = exif::block(orientation) {
        let length = (block.len() as u32).to_be_bytes();
        let named = [b"eXIf", &block[..]].concat();
        let chunk = [&length, &named[..], &checksum(&named).to_be_bytes()].concat();
        output.splice(after_header..after_header, chunk);
    }
    Some(Parts {
        stripped: Stripped {
            bytes: output,
            orientation,
            working_bytes: 0,
        },
        has_profile,
    })
}

/// The name of the next chunk, and all of it.
fn next_chunk<'a>(input: &mut ByteReader<'a>) -> Option<(&'a [u8; 4], &'a [u8])> {
    let length = u32::from_be_bytes(*input.0.first_chunk()?);
    let chunk = input.take(usize::try_from(length).ok()?.checked_add(FRAME)?)?;
    Some((chunk.get(4..)?.first_chunk()?, chunk))
}

/// Whether there is a profile, of which a reader inflates no more than a profile needs.
fn has_small_profile(bytes: &[u8]) -> bool {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_ICC_BYTES);
    let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits);
    let profile = decoder.and_then(|mut decoder| decoder.icc_profile());
    profile.is_ok_and(|profile| profile.is_some_and(|profile| icc::is_profile(&profile)))
}

/// CRC-32 of the few bytes of a chunk that is made here.
fn checksum(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), step)
    })
}
