//! WebP: a RIFF file of chunks; those of an animation's frame are inside of its chunk.

use super::byte_reader::ByteReader;
use super::{ADDED_BYTES, Stripped, exif, icc};
use image::metadata::Orientation;

/// The flags of the chunk `VP8X` that are kept: profile, transparency, animation.
const KEPT_FLAGS: u8 = 0b0011_0010;
const PROFILE_FLAG: u8 = 0b0010_0000;
const EXIF_FLAG: u8 = 0b0000_1000;

/// The chunks that a file has once. A second one is not what decoders expect.
const ONCE: [[u8; 4]; 6] = [*b"VP8X", *b"ICCP", *b"ANIM", *b"ALPH", *b"VP8 ", *b"VP8L"];

/// The header of a frame, before its chunks.
const FRAME_HEADER: usize = 16;

pub fn strip(bytes: &[u8]) -> Option<Stripped> {
    let mut file = ByteReader(bytes);
    let (name, body) = next_chunk(&mut file)?;
    let mut input = ByteReader(body.strip_prefix(b"WEBP")?);
    if name != *b"RIFF" {
        return None;
    }
    let mut output = Vec::with_capacity(bytes.len() + ADDED_BYTES);
    output.extend_from_slice(b"RIFF\0\0\0\0WEBP");
    let mut flags_at = None;
    let mut orientation = None;
    let mut pictures = 0;
    let mut seen = Vec::new();
    while !input.0.is_empty() {
        let (name, body) = next_chunk(&mut input)?;
        if ONCE.contains(&name) {
            if seen.contains(&name) {
                continue;
            }
            seen.push(name);
        }
        match &name {
            b"VP8X" => {
                let (flags, sizes) = body.get(..10)?.split_first()?;
                flags_at.get_or_insert(output.len() + 8);
                put(&mut output, name, &[&[flags & KEPT_FLAGS], sizes]);
            }
            b"EXIF" => orientation = orientation.or(exif::orientation(body)),
            b"ANMF" => {
                pictures += 1;
                put(&mut output, name, &[&frame(body)?]);
            }
            b"VP8 " | b"VP8L" => {
                pictures += 1;
                put(&mut output, name, &[body]);
            }
            // The colour of the background, and the number of repeats.
            b"ANIM" => put(&mut output, name, &[body.get(..6)?]),
            // Behind the picture it belongs to none.
            b"ALPH" if pictures > 0 => {}
            b"ICCP" if !icc::is_profile(body) => {
                if let Some(flags) = flags_at.and_then(|at| output.get_mut(at)) {
                    *flags &= !PROFILE_FLAG;
                }
            }
            b"ALPH" | b"ICCP" => put(&mut output, name, &[body]),
            _ => {}
        }
    }
    if pictures == 0 {
        return None;
    }
    let mut orientation = orientation.unwrap_or(Orientation::NoTransforms);
    match (
        exif::block(orientation),
        flags_at.and_then(|at| output.get_mut(at)),
    ) {
        (Some(block), Some(flags)) => {
            *flags |= EXIF_FLAG;
            put(&mut output, *b"EXIF", &[&block]);
        }
        // Only the extended format has metadata.
        _ => orientation = Orientation::NoTransforms,
    }
    let length = u32::try_from(output.len()).ok()?.checked_sub(8)?;
    output.get_mut(4..8)?.copy_from_slice(&length.to_le_bytes());
    Some(Stripped {
        bytes: output,
        orientation,
        working_bytes: 0,
    })
}

/// A frame of an animation with the chunks of its picture only.
fn frame(body: &[u8]) -> Option<Vec<u8>> {
    let mut input = ByteReader(body);
    let mut output = input.take(FRAME_HEADER)?.to_vec();
    while !input.0.is_empty() {
        let (name, body) = next_chunk(&mut input)?;
        if [b"ALPH", b"VP8 ", b"VP8L"].contains(&&name) {
            put(&mut output, name, &[body]);
        }
    }
    Some(output)
}

fn next_chunk<'a>(input: &mut ByteReader<'a>) -> Option<([u8; 4], &'a [u8])> {
    let name = input.array()?;
    let length = usize::try_from(u32::from_le_bytes(input.array()?)).ok()?;
    let body = input.take(length)?;
    // The byte that makes the length even may be missing at the end.
    input.take(length % 2).or_else(|| input.take(0));
    Some((name, body))
}

fn put(output: &mut Vec<u8>, name: [u8; 4], parts: &[&[u8]]) {
    // Not longer than the file that was read.
    let length = parts.iter().map(|part| part.len()).sum::<usize>() as u32;
    output.extend_from_slice(&name);
    output.extend_from_slice(&length.to_le_bytes());
    for part in parts {
        output.extend_from_slice(part);
    }
    if length % 2 == 1 {
        output.push(0);
    }
}
