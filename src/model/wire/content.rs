//! The kinds of message content and their limits.

use crate::model::ids::UserId;
use crate::model::validators::{bytes, items, web_url, within};
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The longest text, in bytes of UTF-8.
pub const TEXT_BYTES: usize = 16 * 1024;

/// The most users that a text mentions.
pub const MAX_MENTIONS: usize = 100;

/// Plain text.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TextContent {
    /// 1 to 16384 bytes of UTF-8.
    #[garde(custom(bytes(1..=TEXT_BYTES)))]
    #[schema(example = "hi Ben")]
    pub text: String,
    /// Up to 100 users that the text mentions. Members that do not block the sender get a `mention` entry in their inbox; other
    /// users get none.
    #[garde(custom(items(0..=MAX_MENTIONS)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100, required = false)]
    pub mentions: Vec<UserId>,
}

/// One emoji or sticker code.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmojiContent {
    /// 1 to 64 bytes of UTF-8, opaque to the server.
    #[garde(custom(bytes(1..=64)))]
    #[schema(example = "👍")]
    pub emoji: String,
}

/// An image, by its URL.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageContent {
    /// http or https, at most 2048 bytes. The server never fetches it.
    #[garde(custom(web_url))]
    #[schema(example = "https://files.example/cat.png")]
    pub url: String,
    /// Media type.
    #[garde(custom(bytes(1..=127)))]
    #[schema(example = "image/png")]
    pub mime: String,
    /// Size in bytes.
    #[garde(custom(within(0..=crate::model::ids::MAX_SEQ)))]
    pub size: i64,
    /// Width in pixels.
    #[garde(custom(within(1..=100_000)))]
    pub width: i64,
    /// Height in pixels.
    #[garde(custom(within(1..=100_000)))]
    pub height: i64,
    /// The URL of a smaller image.
    #[garde(inner(custom(web_url)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnail_url: Option<String>,
}

/// A video, by its URL.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VideoContent {
    /// http or https, at most 2048 bytes. The server never fetches it.
    #[garde(custom(web_url))]
    #[schema(example = "https://files.example/cat.mp4")]
    pub url: String,
    /// Media type.
    #[garde(custom(bytes(1..=127)))]
    #[schema(example = "video/mp4")]
    pub mime: String,
    /// Size in bytes.
    #[garde(custom(within(0..=crate::model::ids::MAX_SEQ)))]
    pub size: i64,
    /// Width in pixels.
    #[garde(custom(within(1..=100_000)))]
    pub width: i64,
    /// Height in pixels.
    #[garde(custom(within(1..=100_000)))]
    pub height: i64,
    /// Length in milliseconds.
    #[garde(custom(within(0..=crate::model::ids::MAX_SEQ)))]
    pub duration_ms: i64,
    /// The URL of a still image.
    #[garde(inner(custom(web_url)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnail_url: Option<String>,
}

/// A file, by its URL.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FileContent {
    /// http or https, at most 2048 bytes. The server never fetches it.
    #[garde(custom(web_url))]
    #[schema(example = "https://files.example/plan.pdf")]
    pub url: String,
    /// File name, 1 to 255 bytes.
    #[garde(custom(bytes(1..=255)))]
    #[schema(example = "plan.pdf")]
    pub name: String,
    /// Media type.
    #[garde(custom(bytes(1..=127)))]
    #[schema(example = "application/pdf")]
    pub mime: String,
    /// Size in bytes.
    #[garde(custom(within(0..=crate::model::ids::MAX_SEQ)))]
    pub size: i64,
}

/// Kind and content of a message, typed, as in the OpenAPI document.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", content = "content", rename_all = "snake_case")]
pub enum TypedContent {
    /// Plain text.
    Text(TextContent),
    /// One emoji.
    Emoji(EmojiContent),
    /// An image.
    Image(ImageContent),
    /// A video.
    Video(VideoContent),
    /// A file.
    File(FileContent),
    /// Any JSON object with at most 100 levels, for integrations.
    #[schema(value_type = Object)]
    Custom(Map<String, Value>),
}

/// Kind and content of a stored message.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", content = "content", rename_all = "snake_case")]
pub enum StoredContent {
    /// Plain text.
    Text(TextContent),
    /// One emoji.
    Emoji(EmojiContent),
    /// An image.
    Image(ImageContent),
    /// A video.
    Video(VideoContent),
    /// A file.
    File(FileContent),
    /// Any JSON object with at most 100 levels, for integrations.
    #[schema(value_type = Object)]
    Custom(Map<String, Value>),
    /// A recalled message: its content is erased.
    Recalled(NoContent),
    /// A message whose time has passed: its content is gone.
    Expired(NoContent),
    /// A message that the caller has hidden: only the caller does not see it.
    Hidden(NoContent),
}

/// The kind of a recalled message.
pub const RECALLED: &str = "recalled";

/// The kind of a message whose time has passed.
pub const EXPIRED: &str = "expired";

/// The kind of a message for a user who has hidden it.
pub const HIDDEN: &str = "hidden";

/// The content of a message that is gone or hidden: an empty object.
#[derive(Debug, Serialize, ToSchema)]
pub struct NoContent {}

/// Kind and content as stored in the archive. The content is returned byte for byte, without parsing.
#[derive(Clone, Debug, Serialize)]
pub struct StoredBody {
    /// The kind. An open set: clients skip unknown kinds.
    pub kind: String,
    /// The content, an object.
    pub content: Box<RawValue>,
}

impl StoredBody {
    /// That of a recalled message.
    pub fn recalled() -> Self {
        Self::stub(RECALLED)
    }

    /// That of a message for a user who has hidden it.
    pub fn hidden() -> Self {
        Self::stub(HIDDEN)
    }

    fn stub(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            content: RawValue::from_string("{}".to_owned()).unwrap_or_default(),
        }
    }
}
