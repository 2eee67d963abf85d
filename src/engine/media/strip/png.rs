//! PNG: chunks of a length, a name, a body and a checksum.

use super::byte_reader::ByteReader;
use super::pixel_stream::PixelStream;
use super::{ADDED_BYTES, Stripped, exif, icc};
use flate2::{Crc, Decompress, FlushDecompress, Status};
use image::metadata::Orientation;

const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// The end, which has no body.
const END: [u8; FRAME] = *b"\0\0\0\0IEND\xae\x42\x60\x82";

/// The largest ICC profile. A larger one, or one that cannot be read, is not kept.
const MAX_ICC_BYTES: usize = 4 << 20;

/// The longest name of a profile.
const MAX_NAME: usize = 79;

/// More than the pixels of an accepted picture have, so no more of them is inflated.
const MAX_PIXEL_BYTES: u64 = 320 << 20;

/// The length of a chunk beside its body.
const FRAME: usize = 12;

/// The passes of an interlaced picture: the first column and row of each, and the steps to the next.
const PASSES: [[u64; 4]; 7] = [
    [0, 0, 8, 8],
    [4, 0, 8, 8],
    [0, 4, 4, 8],
    [2, 0, 4, 4],
    [0, 2, 2, 4],
    [1, 0, 2, 2],
    [0, 1, 1, 2],
];

pub fn strip(bytes: &[u8]) -> Option<Stripped> {
    let mut input = ByteReader(bytes);
    if input.array()? != SIGNATURE {
        return None;
    }
    let Chunk { name, body, whole } = next_chunk(&mut input)?;
    if name != b"IHDR" {
        return None;
    }
    let header: &[u8; 13] = body.try_into().ok()?;
    let [.., colours, _, _, _] = *header;
    let pixel_bytes = pixel_bytes(header).min(MAX_PIXEL_BYTES);
    let mut output = Vec::with_capacity(bytes.len() + ADDED_BYTES);
    output.extend_from_slice(&SIGNATURE);
    output.extend_from_slice(whole);
    let after_header = output.len();
    let mut orientation = None;
    let mut pixels = PixelStream::new(pixel_bytes);
    let mut has_pixels = false;
    // The control of a frame belongs to the pixels behind it.
    let mut control: &[u8] = &[];
    let mut frame = PixelStream::new(pixel_bytes);
    let mut seen = Vec::new();
    loop {
        let chunk = next_chunk(&mut input)?;
        let Chunk { name, body, whole } = chunk;
        // Without the chunk that makes it an animation, a file has no frames.
        let is_animated = seen.contains(&b"acTL");
        match name {
            b"IEND" => break,
            b"eXIf" => orientation = orientation.or(exif::orientation(body)),
            b"IDAT" => {
                let length = pixels.take(body)?;
                if length > 0 {
                    output.extend_from_slice(control);
                    put(&mut output, chunk, length);
                    (has_pixels, control) = (true, &[]);
                }
            }
            b"fcTL" if is_animated && body.len() == 26 => {
                control = whole;
                frame.restart(pixel_bytes);
            }
            b"fdAT" if is_animated => {
                let (number, body) = body.split_first_chunk::<4>()?;
                let length = frame.take(body)?;
                if length > 0 {
                    output.extend_from_slice(control);
                    put(&mut output, chunk, number.len() + length);
                    control = &[];
                }
            }
            _ if has_pixels || seen.contains(&name) => {}
            // Of several only the first one is inflated.
            b"iCCP" => {
                seen.push(name);
                if is_profile(body).unwrap_or(false) {
                    output.extend_from_slice(whole);
                }
            }
            _ if is_needed(name, body.len(), colours) => {
                seen.push(name);
                output.extend_from_slice(whole);
            }
            _ => {}
        }
    }
    output.extend_from_slice(&END);
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    if let Some(block) = exif::block(orientation) {
        let chunk = make_chunk(b"eXIf", &block);
        output.splice(after_header..after_header, chunk);
    }
    Some(Stripped {
        bytes: output,
        orientation,
        working_bytes: 0,
    })
}

/// Whether a chunk is one of colours, density or an animation, as long as it is for these colours. A file has it once, before its pixels.
fn is_needed(name: &[u8; 4], length: usize, colours: u8) -> bool {
    match (name, colours) {
        (b"PLTE", 3) => (3..=768).contains(&length) && length.is_multiple_of(3),
        (b"tRNS", 3) => (1..=256).contains(&length),
        (b"bKGD", 3) | (b"sBIT", 0) | (b"sRGB", _) => length == 1,
        (b"bKGD" | b"tRNS", 0) | (b"bKGD" | b"sBIT", 4) => length == 2,
        (b"sBIT", 2 | 3) => length == 3,
        (b"sBIT", 6) | (b"cICP" | b"gAMA", _) => length == 4,
        (b"bKGD", 2 | 6) | (b"tRNS", 2) => length == 6,
        (b"acTL" | b"cLLI", _) => length == 8,
        (b"pHYs", _) => length == 9,
        (b"mDCV", _) => length == 24,
        (b"cHRM", _) => length == 32,
        _ => false,
    }
}

/// Whether a profile is all that is compressed behind the name.
fn is_profile(body: &[u8]) -> Option<bool> {
    let name = body.iter().take(MAX_NAME + 1).position(|byte| *byte == 0)?;
    let stream = body.get(name + 1..)?.strip_prefix(&[0])?;
    let mut profile = Vec::with_capacity(MAX_ICC_BYTES);
    let mut inflate = Decompress::new(true);
    let status = inflate.decompress_vec(stream, &mut profile, FlushDecompress::Finish);
    let is_whole = status.ok()? == Status::StreamEnd && inflate.total_in() == stream.len() as u64;
    Some(name > 0 && is_whole && icc::is_profile(&profile))
}

/// The most bytes of the pixels, not compressed: each row has one more, for its filter.
fn pixel_bytes(header: &[u8; 13]) -> u64 {
    let [
        w0,
        w1,
        w2,
        w3,
        h0,
        h1,
        h2,
        h3,
        depth,
        colours,
        _,
        _,
        interlaced,
    ] = *header;
    let samples = match colours {
        2 => 3,
        4 => 2,
        6 => 4,
        _ => 1,
    };
    let bits = samples * u64::from(depth);
    let side = |bytes| u64::from(u32::from_be_bytes(bytes));
    let (width, height) = (side([w0, w1, w2, w3]), side([h0, h1, h2, h3]));
    let pass = |[left, top, step_x, step_y]: [u64; 4]| {
        let row = 1 + (width.saturating_sub(left).div_ceil(step_x) * bits).div_ceil(8);
        height
            .saturating_sub(top)
            .div_ceil(step_y)
            .saturating_mul(row)
    };
    match interlaced {
        0 => pass([0, 0, 1, 1]),
        _ => PASSES.map(pass).into_iter().fold(0, u64::saturating_add),
    }
}

#[derive(Clone, Copy)]
struct Chunk<'a> {
    name: &'a [u8; 4],
    body: &'a [u8],
    /// With its length and checksum.
    whole: &'a [u8],
}

fn next_chunk<'a>(input: &mut ByteReader<'a>) -> Option<Chunk<'a>> {
    let length = u32::from_be_bytes(*input.0.first_chunk()?);
    let whole = input.take(usize::try_from(length).ok()?.checked_add(FRAME)?)?;
    let (name, rest) = whole.get(4..)?.split_first_chunk()?;
    let (body, _checksum) = rest.split_last_chunk::<4>()?;
    Some(Chunk { name, body, whole })
}

/// Puts the beginning of a chunk, as a chunk.
fn put(output: &mut Vec<u8>, chunk: Chunk<'_>, length: usize) {
    match chunk.body.get(..length) {
        Some(body) if body.len() < chunk.body.len() => output.extend(make_chunk(chunk.name, body)),
        _ => output.extend_from_slice(chunk.whole),
    }
}

fn make_chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    // Not longer than the file that was read.
    let length = (body.len() as u32).to_be_bytes();
    let mut checksum = Crc::new();
    checksum.update(name);
    checksum.update(body);
    [&length, &name[..], body, &checksum.sum().to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use image::load_from_memory;
    use proptest::prelude::*;
    use std::io::Write;

    fn deflated(bytes: &[u8], compression: Compression) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), compression);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn header(sides: [u8; 2], depth: u8, colours: u8, interlaced: u8) -> [u8; 13] {
        let [width, height] = sides;
        let rest = [depth, colours, 0, 0, interlaced];
        [&[0, 0, 0, width, 0, 0, 0, height], &rest[..]]
            .concat()
            .try_into()
            .unwrap()
    }

    fn file(header: &[u8], chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let chunks = chunks
            .iter()
            .flat_map(|(name, body)| make_chunk(name, body));
        let chunks: Vec<_> = chunks.collect();
        [&SIGNATURE, &make_chunk(b"IHDR", header)[..], &chunks, &END].concat()
    }

    fn profile(tail: &[u8]) -> Vec<u8> {
        let mut profile = vec![7; 200];
        profile[36..40].copy_from_slice(b"acsp");
        [
            b"icc\0\0",
            &deflated(&profile, Compression::fast())[..],
            tail,
        ]
        .concat()
    }

    #[test]
    fn chunks_are_as_long_as_for_their_colours_and_stand_once_before_the_pixels() {
        const TRANSPARENT: [usize; 15] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 31, 32, 33, 255, 256];
        let bytes = [3; 769];
        let lengths: [(&[u8; 4], u8, &[usize]); 20] = [
            (b"PLTE", 2, &[]),
            (b"PLTE", 3, &[3, 6, 9, 33, 255, 768]),
            (b"tRNS", 0, &[2]),
            (b"tRNS", 2, &[6]),
            (b"tRNS", 3, &TRANSPARENT),
            (b"tRNS", 4, &[]),
            (b"tRNS", 6, &[]),
            (b"bKGD", 0, &[2]),
            (b"bKGD", 3, &[1]),
            (b"bKGD", 6, &[6]),
            (b"sBIT", 0, &[1]),
            (b"sBIT", 4, &[2]),
            (b"sBIT", 6, &[4]),
            (b"cHRM", 2, &[32]),
            (b"gAMA", 2, &[4]),
            (b"sRGB", 2, &[1]),
            (b"pHYs", 2, &[9]),
            (b"acTL", 2, &[8]),
            (b"fcTL", 2, &[]),
            (b"iCCP", 2, &[]),
        ];
        for (name, colours, kept) in lengths {
            let header = header([8, 1], 8, colours, 0);
            let raw = vec![0; pixel_bytes(&header) as usize];
            let pixels = deflated(&raw, Compression::fast());
            let plain = file(&header, &[(b"IDAT", &pixels)]);
            assert_eq!(strip(&plain).unwrap().bytes, plain);
            for length in [
                0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 31, 32, 33, 255, 256, 257, 768, 769,
            ] {
                let one = (name, &bytes[..length]);
                let many = file(&header, &[one, one, (b"IDAT", &pixels), one]);
                let expected = match kept.contains(&length) {
                    true => file(&header, &[one, (b"IDAT", &pixels)]),
                    false => plain.clone(),
                };
                let stripped = strip(&many).unwrap().bytes;
                assert_eq!(stripped, expected, "{name:?} {colours} {length}");
            }
        }
    }

    #[test]
    fn nothing_stands_behind_a_profile_or_pixels() {
        let header = header([20, 20], 8, 2, 0);
        let raw = vec![1; pixel_bytes(&header) as usize];
        for compression in [Compression::none(), Compression::best()] {
            let pixels = deflated(&raw, compression);
            let plain = file(&header, &[(b"IDAT", &pixels)]);
            let right = file(&header, &[(b"iCCP", &profile(b"")), (b"IDAT", &pixels)]);
            assert_eq!(strip(&right).unwrap().bytes, right);
            let unsigned = [b"icc\0\0", &deflated(&[7; 200], compression)[..]].concat();
            for wrong in [profile(b"P"), profile(b"PK archive"), unsigned] {
                let file = file(&header, &[(b"iCCP", &wrong), (b"IDAT", &pixels)]);
                assert_eq!(strip(&file).unwrap().bytes, plain);
            }
            // Whatever the chunks are, only the stream is in them.
            let long = [&pixels[..], b"PK archive"].concat();
            for size in 1..=long.len() {
                let cut = |bytes: &[u8]| {
                    let parts = bytes.chunks(size).map(|part| (b"IDAT", part));
                    file(&header, &parts.collect::<Vec<_>>())
                };
                assert_eq!(strip(&cut(&long)).unwrap().bytes, cut(&pixels));
            }
            let empty = (b"IDAT", &b""[..]);
            let more = [empty, (b"IDAT", &pixels), empty, (b"IDAT", b"<html>")];
            assert_eq!(strip(&file(&header, &more)).unwrap().bytes, plain);
            // More is compressed than the picture has.
            let secret = [&raw[..], &b"secret".repeat(20_000)].concat();
            let secret = file(&header, &[(b"IDAT", &deflated(&secret, compression))]);
            let stripped = strip(&secret).unwrap().bytes;
            assert!(stripped.len() < plain.len() + 64, "{}", stripped.len());
            assert!(!stripped.windows(6).any(|at| at == b"secret"));
            assert_eq!(
                load_from_memory(&stripped).unwrap(),
                load_from_memory(&plain).unwrap()
            );
        }
        assert!(strip(&file(&header, &[(b"IDAT", b"\x78\x01\xff")])).is_none());
        let long = [&header[..], b"tail"].concat();
        assert!(strip(&file(&long, &[])).is_none());
    }

    #[test]
    fn a_frame_has_one_control_and_nothing_behind_its_pixels() {
        let header = header([8, 1], 8, 0, 0);
        let pixels = deflated(&[0; 9], Compression::fast());
        let control = |number: u8| [&[0, 0, 0, number], &[0; 22][..]].concat();
        let frame = |number: u8, tail: &[u8]| [&[0, 0, 0, number], &pixels[..], tail].concat();
        let frames = |tail: &[u8], controls: usize| {
            let (first, second) = (control(0), control(1));
            let frame = frame(2, tail);
            let mut chunks: Vec<(&[u8; 4], &[u8])> = vec![(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0])];
            chunks.extend(vec![(b"fcTL", &first[..]); controls]);
            chunks.push((b"IDAT", &pixels));
            chunks.extend(vec![(b"fcTL", &second[..]); controls]);
            chunks.push((b"fdAT", &frame));
            chunks.extend(vec![(b"fcTL", &second[..]); controls - 1]);
            file(&header, &chunks)
        };
        let plain = frames(b"", 1);
        assert_eq!(strip(&plain).unwrap().bytes, plain);
        assert_eq!(strip(&frames(b"PK archive", 3)).unwrap().bytes, plain);
    }

    proptest! {
        #[test]
        fn a_stripped_picture_has_the_same_pixels(
            (colours, depth) in proptest::sample::select(vec![
                (0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4), (3, 8), (4, 8), (4, 16), (6, 8),
                (6, 16),
            ]),
            sides in [1..=40u8, 1..=40u8],
            interlaced in 0..=1u8,
            level in 0..=9u32,
            // Each byte can be the number of a filter.
            samples in proptest::collection::vec(0..=4u8, 1..200),
            extra in prop_oneof![Just(0), 0..100_000usize],
            tail in prop_oneof![Just(Vec::new()), proptest::collection::vec(any::<u8>(), 0..20)],
            size in 1..5_000usize,
            is_transparent in any::<bool>(),
        ) {
            let header = header(sides, depth, colours, interlaced);
            let length = pixel_bytes(&header) as usize + extra;
            let raw: Vec<_> = samples.iter().copied().cycle().take(length).collect();
            let stream = [deflated(&raw, Compression::new(level)), tail.clone()].concat();
            let palette: Vec<u8> = (0..=255).flat_map(|n| [n, 2, 255 - n]).collect();
            let mut chunks: Vec<(&[u8; 4], &[u8])> = vec![(b"gAMA", b"\0\x01\x86\xa0")];
            if colours == 3 {
                chunks.push((b"PLTE", &palette));
            }
            let transparent = match colours {
                0 => 2,
                2 | 3 => 6,
                _ => 0,
            };
            if is_transparent && transparent > 0 {
                chunks.push((b"tRNS", &[1; 6][..transparent]));
            }
            chunks.extend(stream.chunks(size).map(|part| (b"IDAT", part)));
            let file = file(&header, &chunks);
            let stripped = strip(&file).unwrap().bytes;
            prop_assert_eq!(&strip(&stripped).unwrap().bytes, &stripped);
            let before = load_from_memory(&file);
            prop_assert!(before.is_ok() || !tail.is_empty() || extra > 0);
            if let Ok(before) = before {
                prop_assert_eq!(before, load_from_memory(&stripped).unwrap());
            }
        }
    }
}
