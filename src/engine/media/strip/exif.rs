//! An EXIF block with the orientation as its only tag.

use image::metadata::Orientation;

/// The block; none for a picture that is upright already.
pub fn block(orientation: Orientation) -> Option<[u8; 26]> {
    if orientation == Orientation::NoTransforms {
        return None;
    }
    // Little-endian TIFF: the first directory at 8, one entry (tag 0x0112, one number of 16 bits), no further directory.
    let mut block = *b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\0\0\0\0\0\0\0\0";
    let [.., value, _, _, _, _, _, _, _] = &mut block;
    *value = orientation.to_exif();
    Some(block)
}

/// The orientation of a block that may begin with the name that it has in JPEG files.
pub fn orientation(block: &[u8]) -> Option<Orientation> {
    Orientation::from_exif_chunk(block.strip_prefix(b"Exif\0\0").unwrap_or(block))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_the_orientation_that_was_put_in() {
        for value in 2..=8 {
            let turned = Orientation::from_exif(value).unwrap();
            assert_eq!(orientation(&block(turned).unwrap()), Some(turned));
        }
        assert_eq!(block(Orientation::NoTransforms), None);
        assert_eq!(orientation(b"II*\0\xff\xff\xff\xff"), None);
    }
}
