//! Results of a search for messages.

use crate::model::wire::message::Message;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a message may have beside words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Has {
    /// It is an image, a video or a file.
    Media,
    /// It is a text with a link.
    Link,
}

/// A part of a message that matches.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Highlight {
    /// The field of `content`: `text` of a text, `name` of a file, `alt` of an image or video.
    #[schema(example = "text")]
    pub field: &'static str,
    /// Where the part begins, in UTF-16 code units, as JavaScript counts.
    #[schema(minimum = 0)]
    pub start: usize,
    /// The length of the part, in UTF-16 code units.
    #[schema(minimum = 1)]
    pub length: usize,
}

/// A message that was found.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FoundMessage {
    /// The message, as it is now.
    pub message: Message,
    /// The parts that match, at most 20, in their order, without overlaps. Empty without `q`.
    pub highlights: Vec<Highlight>,
}
