//! What is shown instead of a picture: smaller ones, and a placeholder.

use crate::engine::media::protocol::{MEDIUM_SIDE, OutputHeader, OutputName, SMALL_SIDE};
use crate::engine::media::strip::icc;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, GenericImageView, ImageEncoder, RgbaImage};

/// The quality of a JPEG variant, of 100.
const QUALITY: u8 = 80;

/// A picture of more bytes has the variant `small` whatever its size: a small one with many frames, which is somebody's avatar, would be
/// loaded by everybody.
pub(super) const LIGHT: usize = 64 * 1024;

/// The largest ICC profile of a variant: a larger one would be most of a small file.
const MAX_PROFILE_BYTES: usize = 64 * 1024;

/// The longest side of which a placeholder is made.
const PLACEHOLDER_SIDE: u32 = 100;

/// A picture to be stored.
pub struct Variant {
    /// Which one it is.
    pub name: OutputName,
    /// Its type.
    pub mime: &'static str,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// The file.
    pub bytes: Vec<u8>,
}

impl Variant {
    /// The description of the file, and the file.
    pub fn split(self) -> (OutputHeader, Vec<u8>) {
        let header = OutputHeader {
            name: self.name,
            mime: self.mime.to_owned(),
            bytes: self.bytes.len(),
            width: self.width,
            height: self.height,
        };
        (header, self.bytes)
    }
}

/// What is made of a picture.
pub struct Derived {
    /// The smaller pictures.
    pub variants: Vec<Variant>,
    /// The placeholder.
    pub thumbhash: Vec<u8>,
}

/// Whether variants have this ICC profile of their picture. Their colours are red, green and blue, whatever those of the picture are.
pub fn takes(profile: &[u8]) -> bool {
    profile.len() <= MAX_PROFILE_BYTES && icc::is_of_rgb(profile)
}

/// Makes the variants and the placeholder, upright and without metadata other than the profile.
pub fn derive(
    mut picture: DynamicImage,
    orientation: Orientation,
    is_heavy: bool,
    profile: Option<&[u8]>,
) -> Option<Derived> {
    let longest = picture.width().max(picture.height());
    weigh_by_alpha(&mut picture);
    picture = shrink(picture, MEDIUM_SIDE)?;
    picture.apply_orientation(orientation);
    let mut variants = Vec::new();
    for (name, side) in [
        (OutputName::Medium, MEDIUM_SIDE),
        (OutputName::Small, SMALL_SIDE),
    ] {
        if side < longest || is_heavy && name == OutputName::Small {
            picture = shrink(picture, side)?;
            variants.push(encode(name, &picture, profile)?);
        }
    }
    variants.reverse();
    let placeholder = unweigh(&shrink(picture, PLACEHOLDER_SIDE)?);
    let [width, height] = [placeholder.width(), placeholder.height()].map(|side| side as usize);
    Some(Derived {
        variants,
        thumbhash: thumbhash::rgba_to_thumb_hash(width, height, &placeholder),
    })
}

/// The size of the picture with a longer side of `side`; none if it is not larger.
fn fit(picture: &DynamicImage, side: u32) -> Option<(u32, u32)> {
    let (width, height) = picture.dimensions();
    let longest = width.max(height);
    let scale = |length: u32| {
        let scaled =
            (u64::from(length) * u64::from(side) + u64::from(longest) / 2) / u64::from(longest);
        u32::try_from(scaled).unwrap_or(side).max(1)
    };
    (longest > side).then(|| (scale(width), scale(height)))
}

fn shrink(picture: DynamicImage, side: u32) -> Option<DynamicImage> {
    let Some((width, height)) = fit(&picture, side) else {
        return Some(picture);
    };
    let mut smaller = DynamicImage::new(width, height, picture.color());
    let filter = ResizeAlg::Convolution(FilterType::CatmullRom);
    // The crate would weigh a copy of the picture.
    let options = ResizeOptions::new().resize_alg(filter).use_alpha(false);
    let mut resizer = Resizer::new();
    resizer.resize(&picture, &mut smaller, &options).ok()?;
    Some(smaller)
}

/// Without it, a picture of more colours than usual would be shown with dull ones.
fn set_profile(encoder: &mut impl ImageEncoder, profile: Option<&[u8]>) -> Option<()> {
    match profile {
        Some(profile) => encoder.set_icc_profile(profile.to_vec()).ok(),
        None => Some(()),
    }
}

fn encode(name: OutputName, picture: &DynamicImage, profile: Option<&[u8]>) -> Option<Variant> {
    let mut bytes = Vec::new();
    let is_opaque = |upright: &RgbaImage| upright.pixels().all(|pixel| pixel.0[3] == u8::MAX);
    // Most pictures have no transparency, and are encoded as they are.
    let translucent = picture.color().has_alpha().then(|| unweigh(picture));
    let mime = match translucent.filter(|upright| !is_opaque(upright)) {
        Some(upright) => {
            let mut encoder = WebPEncoder::new_lossless(&mut bytes);
            set_profile(&mut encoder, profile)?;
            upright.write_with_encoder(encoder).ok()?;
            "image/webp"
        }
        None => {
            let mut encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
            set_profile(&mut encoder, profile)?;
            let converted;
            let opaque = match picture.as_rgb8() {
                Some(opaque) => opaque,
                None => {
                    converted = picture.to_rgb8();
                    &converted
                }
            };
            opaque.write_with_encoder(encoder).ok()?;
            "image/jpeg"
        }
    };
    Some(Variant {
        name,
        mime,
        width: picture.width(),
        height: picture.height(),
        bytes,
    })
}

/// Multiplies the colours by the transparency, so that those of pixels that are not seen do not show at edges after scaling.
fn weigh_by_alpha(picture: &mut DynamicImage) {
    match picture {
        DynamicImage::ImageLumaA8(samples) => weigh::<2, u8>(samples, u8::MAX.into()),
        DynamicImage::ImageRgba8(samples) => weigh::<4, u8>(samples, u8::MAX.into()),
        DynamicImage::ImageLumaA16(samples) => weigh::<2, u16>(samples, u16::MAX.into()),
        DynamicImage::ImageRgba16(samples) => weigh::<4, u16>(samples, u16::MAX.into()),
        _ => {}
    }
}

/// The same for pixels of `N` samples, of which the last is the transparency and `max` is the largest value.
fn weigh<const N: usize, T: Copy + Into<u32> + TryFrom<u32>>(samples: &mut [T], max: u32) {
    for pixel in samples.as_chunks_mut::<N>().0 {
        let Some((alpha, colours)) = pixel.split_last_mut() else {
            continue;
        };
        let weight = (*alpha).into();
        if weight != max {
            for colour in colours {
                let weighed = ((*colour).into() * weight + max / 2) / max;
                *colour = T::try_from(weighed).unwrap_or(*colour);
            }
        }
    }
}

/// The colours as they were before [`weigh_by_alpha`].
fn unweigh(picture: &DynamicImage) -> RgbaImage {
    let mut picture = picture.to_rgba8();
    for pixel in picture.pixels_mut() {
        let [colours @ .., alpha] = &mut pixel.0;
        let weight = u16::from(*alpha);
        for colour in colours {
            let wanted = (u16::from(*colour) * u16::from(u8::MAX) + weight / 2).checked_div(weight);
            *colour = u8::try_from(wanted.unwrap_or_default()).unwrap_or(u8::MAX);
        }
    }
    picture
}
