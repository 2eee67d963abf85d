//! Metadata of pictures is removed without decoding the picture: containers are taken apart, and only the parts that a decoder
//! needs are written again. So the pixels stay as they are, and a part that nobody knows is not kept.
//!
//! What is left beside the picture is the orientation, as the only tag of an EXIF block, and the ICC profile, if it is one. Bytes after the
//! end are dropped, and so is an HTML page or an archive there. Pixels and colours stay whatever they spell: a picture that was made
//! for it can still be read as something else. A picture without its end is damaged; decoders would show what there is.

mod byte_reader;
mod exif;
mod gif;
pub mod icc;
mod jpeg;
mod pixel_stream;
mod png;
#[cfg(test)]
mod tests;
mod webp;

use image::ImageFormat;
use image::metadata::Orientation;

/// Room for what is written anew: the orientation, and its place in the file.
const ADDED_BYTES: usize = 128;

/// A picture without metadata.
#[derive(Debug)]
pub struct Stripped {
    /// The whole file.
    pub bytes: Vec<u8>,
    /// How the picture is to be turned before it is shown.
    pub orientation: Orientation,
    /// The bytes that the decoder of the format holds beside the picture.
    pub working_bytes: u64,
}

/// The picture without its metadata; none if it is damaged.
pub fn strip(format: ImageFormat, bytes: &[u8]) -> Option<Stripped> {
    match format {
        ImageFormat::Jpeg => jpeg::strip(bytes),
        ImageFormat::Png => png::strip(bytes),
        ImageFormat::Gif => gif::strip(bytes),
        ImageFormat::WebP => webp::strip(bytes),
        _ => None,
    }
}
