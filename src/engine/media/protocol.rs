//! What a node and its decoder say to each other: one line of JSON in each direction, each followed by bytes.

use crate::model::wire::media::MediaKind;
use serde::{Deserialize, Serialize};

/// The most bytes of either line.
pub const MAX_LINE_BYTES: u64 = 4096;

/// How many of the first bytes of a video or a file the decoder gets. Of an image it gets all.
pub const HEAD_BYTES: usize = 8 * 1024;

/// The longer side of the variants, in pixels. A picture that is not larger has no such variant.
pub const SMALL_SIDE: u32 = 320;
/// The same of the larger variant.
pub const MEDIUM_SIDE: u32 = 1280;

/// The longest side of a picture, in pixels.
pub const MAX_SIDE: u32 = 16_384;

/// The first line of what the decoder reads. The bytes of the upload follow, up to the end.
#[derive(Debug, Serialize, Deserialize)]
pub struct InspectionRequest {
    /// The kind of the upload.
    pub kind: MediaKind,
    /// The type that the sender declared.
    pub mime: String,
}

/// The first line of what the decoder writes. The bytes of the outputs follow, in their order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum InspectionReply {
    /// The upload may be used.
    Accepted {
        /// The type that was found.
        mime: String,
        /// The width in pixels as displayed, of an image.
        width: Option<u32>,
        /// The height in pixels as displayed, of an image.
        height: Option<u32>,
        /// The placeholder in base64, of an image.
        thumbhash: Option<String>,
        /// What to store. None for a video or a file, which is stored as it came.
        outputs: Vec<OutputHeader>,
    },
    /// The upload may not be used.
    Rejected {
        /// Why.
        reason: Rejection,
    },
}

/// An output of which the bytes follow.
#[derive(Debug, Serialize, Deserialize)]
pub struct OutputHeader {
    /// Which one it is.
    pub name: OutputName,
    /// Its type.
    pub mime: String,
    /// Its length.
    pub bytes: usize,
    /// Its width in pixels, as displayed.
    pub width: u32,
    /// Its height in pixels, as displayed.
    pub height: u32,
}

/// What is stored of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputName {
    /// The upload without its metadata.
    Original,
    /// At most 320 px wide and high.
    Small,
    /// At most 1280 px wide and high.
    Medium,
}

impl OutputName {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Small => "small",
            Self::Medium => "medium",
        }
    }
}

/// Why an upload may not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// Not of a type that its kind may have, or not of the declared one.
    Type,
    /// More pixels than allowed.
    Dimensions,
    /// Not whole, or more than the decoder's memory or time is enough for.
    Damaged,
}

impl Rejection {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Dimensions => "dimensions",
            Self::Damaged => "damaged",
        }
    }
}
