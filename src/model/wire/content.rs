//! The kinds of message content and their limits.

use crate::model::ids::{MediaId, UserId};
use crate::model::validators::{bytes, items, web_url, within};
use crate::model::wire::media::MediaVariant;
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The longest text, in bytes of UTF-8.
pub const TEXT_BYTES: usize = 16 * 1024;

/// The most users that a text mentions.
pub const MAX_MENTIONS: usize = 100;

/// The longest description of a picture, in bytes of UTF-8.
pub const ALT_BYTES: usize = 1_000;

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

/// An image, video or file that the server keeps (`POST /v1/media`), of the same kind and `ready`: the caller's own, or one of a message that
/// the caller may read. The server adds type, size and dimensions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UploadedContent {
    /// The media.
    #[garde(skip)]
    pub media_id: MediaId,
    /// The still picture of a video: media of kind `image`. Only for a video.
    #[garde(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poster_media_id: Option<MediaId>,
    /// What a picture or video shows, for people who do not see it: 1 to 1000 bytes of UTF-8.
    #[garde(inner(custom(bytes(1..=ALT_BYTES))))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "A cat on a boat")]
    pub alt: Option<String>,
}

/// An image, by its URL or as media that the server keeps.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum NewImage {
    /// By its URL.
    Link(ImageContent),
    /// As media that the server keeps.
    Upload(UploadedContent),
}

/// A video, by its URL or as media that the server keeps.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum NewVideo {
    /// By its URL.
    Link(VideoContent),
    /// As media that the server keeps.
    Upload(UploadedContent),
}

/// A file, by its URL or as media that the server keeps.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum NewFile {
    /// By its URL.
    Link(FileContent),
    /// As media that the server keeps.
    Upload(UploadedContent),
}

/// A stored image.
#[derive(Debug, Serialize, ToSchema)]
pub struct StoredImage {
    #[serde(flatten)]
    link: ImageContent,
    /// The media, of an image or video that the server keeps: at `url`, or by a link (`POST /v1/media/links`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    media_id: Option<MediaId>,
    /// File name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "cat.jpg")]
    name: Option<String>,
    /// What it shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    alt: Option<String>,
    /// A placeholder: a thumbhash of up to 25 bytes, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    thumbhash: Option<String>,
    /// The smaller forms of the picture, or of the still picture of a video.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    variants: Option<Vec<MediaVariant>>,
}

/// A stored video.
#[derive(Debug, Serialize, ToSchema)]
pub struct StoredVideo {
    #[serde(flatten)]
    link: VideoContent,
    /// The still picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    poster_media_id: Option<MediaId>,
    /// The media, of an image or video that the server keeps: at `url`, or by a link (`POST /v1/media/links`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    media_id: Option<MediaId>,
    /// File name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "cat.jpg")]
    name: Option<String>,
    /// What it shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    alt: Option<String>,
    /// A placeholder: a thumbhash of up to 25 bytes, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    thumbhash: Option<String>,
    /// The smaller forms of the picture, or of the still picture of a video.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    variants: Option<Vec<MediaVariant>>,
}

/// A stored file.
#[derive(Debug, Serialize, ToSchema)]
pub struct StoredFile {
    #[serde(flatten)]
    link: FileContent,
    /// The media, of a file that the server keeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    media_id: Option<MediaId>,
    /// What it shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    alt: Option<String>,
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
    Image(NewImage),
    /// A video.
    Video(NewVideo),
    /// A file.
    File(NewFile),
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
    Image(StoredImage),
    /// A video.
    Video(StoredVideo),
    /// A file.
    File(StoredFile),
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
