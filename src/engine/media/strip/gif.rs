//! GIF: blocks, each of which knows its kind; their data are in sub-blocks of at most 255 bytes.

use super::Stripped;
use super::byte_reader::ByteReader;
use image::metadata::Orientation;

const EXTENSION: u8 = 0x21;
const IMAGE: u8 = 0x2c;
const TRAILER: u8 = 0x3b;

const GRAPHIC_CONTROL: u8 = 0xf9;
const PLAIN_TEXT: u8 = 0x01;
const APPLICATION: u8 = 0xff;

/// The bytes of a pixel of a decoded frame.
const PIXEL: u64 = 4;

pub fn strip(bytes: &[u8]) -> Option<Stripped> {
    let mut input = ByteReader(bytes);
    let mut output = Vec::with_capacity(bytes.len());
    let version: [u8; 6] = input.array()?;
    if ![*b"GIF87a", *b"GIF89a"].contains(&version) {
        return None;
    }
    let screen: [u8; 7] = input.array()?;
    let [s0, s1, _, _, flags, _, _] = screen;
    output.extend_from_slice(&version);
    output.extend_from_slice(&screen);
    output.extend_from_slice(input.take(table_length(flags))?);
    // A control block belongs to the picture or the text behind it.
    let mut control: &[u8] = &[];
    let mut working_bytes = None;
    loop {
        match input.byte()? {
            TRAILER => break,
            IMAGE => {
                let descriptor: [u8; 9] = input.array()?;
                let [l0, l1, _, _, w0, w1, h0, h1, flags] = descriptor;
                let area = u64::from(u16::from_le_bytes([w0, w1]))
                    * u64::from(u16::from_le_bytes([h0, h1]));
                // A frame that is as wide as the screen is decoded in place.
                let is_wide = [l0, l1, w0, w1] == [0, 0, s0, s1];
                working_bytes.get_or_insert(if is_wide { 0 } else { area * PIXEL });
                if !control.is_empty() {
                    output.extend_from_slice(&[EXTENSION, GRAPHIC_CONTROL]);
                    output.extend_from_slice(control);
                }
                output.push(IMAGE);
                output.extend_from_slice(&descriptor);
                // The colours, and the size of the codes.
                output.extend_from_slice(input.take(table_length(flags) + 1)?);
                output.extend_from_slice(sub_blocks(&mut input)?);
                control = &[];
            }
            EXTENSION => {
                let kind = input.byte()?;
                let data = sub_blocks(&mut input)?;
                match kind {
                    GRAPHIC_CONTROL => {
                        let [4, _, _, _, _, 0] = data else {
                            return None;
                        };
                        control = data;
                    }
                    PLAIN_TEXT => control = &[],
                    APPLICATION => output.extend_from_slice(&repetitions(data).unwrap_or_default()),
                    _ => {}
                }
            }
            _ => return None,
        }
    }
    output.push(TRAILER);
    Some(Stripped {
        bytes: output,
        orientation: Orientation::NoTransforms,
        working_bytes: working_bytes?,
    })
}

/// The length of a table of colours.
fn table_length(flags: u8) -> usize {
    match flags & 0x80 {
        0 => 0,
        _ => 3 << ((flags & 7) + 1),
    }
}

/// Sub-blocks with their lengths, up to and with the empty one.
fn sub_blocks<'a>(input: &mut ByteReader<'a>) -> Option<&'a [u8]> {
    let before = input.0;
    loop {
        let length = input.byte()?;
        if length == 0 {
            return before.get(..before.len() - input.0.len());
        }
        input.take(length.into())?;
    }
}

/// The block that says how often an animation is repeated, if the block is that.
fn repetitions(data: &[u8]) -> Option<Vec<u8>> {
    let data = data.strip_prefix(b"\x0bNETSCAPE2.0\x03\x01")?;
    let block = [EXTENSION, APPLICATION, 0x0b];
    Some([&block[..], b"NETSCAPE2.0\x03\x01", data.get(..2)?, &[0]].concat())
}
