//! Media: pictures, videos and files that the server keeps.

use crate::model::ids::{ConversationId, MediaId, UserId};
use crate::model::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The size of the parts of an upload, in bytes.
pub const PART_BYTES: i64 = 8 * 1024 * 1024;

/// The largest picture.
pub const IMAGE_BYTES: i64 = 32 * 1024 * 1024;

/// The most unfinished uploads of a user.
pub const MAX_UPLOADS: i32 = 20;

/// The path of the uploaded picture of a user.
pub fn user_avatar(user: UserId, media: MediaId) -> String {
    format!("/v1/users/{user}/avatar?v={media}")
}

/// The path of the picture of a group or channel.
pub fn conversation_avatar(conversation: ConversationId, media: MediaId) -> String {
    format!("/v1/conversations/{conversation}/avatar?v={media}")
}

/// The kind of an upload, as its sender declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    /// A picture: checked, stripped of its metadata, shown in the client.
    Image,
    /// A video: its container is checked, and its bytes are stored as they come, with what they say of the place and the device.
    Video,
    /// Anything else: stored as it comes, also a picture with its metadata, and only downloaded.
    File,
}

impl MediaKind {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::File => "file",
        }
    }

    /// The kind of this name.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::Image, Self::Video, Self::File];
        all.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// How far an upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediaState {
    /// Parts are missing, or `complete` is.
    Uploading,
    /// The server reads it.
    Processing,
    /// A message can refer to it.
    Ready,
    /// The server has refused it; `reason` is why.
    Rejected,
    /// Deleted.
    #[serde(skip)]
    Deleted,
}

impl MediaState {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Uploading,
        Self::Processing,
        Self::Ready,
        Self::Rejected,
        Self::Deleted,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uploading => "uploading",
            Self::Processing => "processing",
            Self::Ready => "ready",
            Self::Rejected => "rejected",
            Self::Deleted => "deleted",
        }
    }
}

/// A smaller form of a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MediaVariant {
    /// `small`: at most 320 pixels a side. `medium`: at most 1280.
    #[schema(example = "small")]
    pub name: String,
    /// Media type.
    #[schema(example = "image/jpeg")]
    pub mime: String,
    /// Size in bytes.
    pub size: i64,
    /// Width in pixels.
    pub width: i32,
    /// Height in pixels.
    pub height: i32,
}

/// A picture, video or file that the server keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Media {
    /// Its id, for messages.
    pub id: MediaId,
    /// Its kind, that of the message.
    pub kind: MediaKind,
    /// File name.
    #[schema(example = "cat.jpg")]
    pub name: String,
    /// Media type: as declared, and from `ready` on as found.
    #[schema(example = "image/jpeg")]
    pub mime: String,
    /// Size in bytes: as declared, and from `ready` on as found. A picture is smaller without its metadata.
    pub size: i64,
    /// How far it is.
    pub state: MediaState,
    /// Why it was rejected: `size` (not the declared one), `digest` (not the declared one), `type`, `dimensions` (too large to
    /// decode), `scan` (malware) or `damaged`.
    #[schema(required = true, example = "type")]
    pub reason: Option<String>,
    /// Width in pixels, of a picture upright. That of a video is as declared.
    #[schema(required = true)]
    pub width: Option<i32>,
    /// Height in pixels.
    #[schema(required = true)]
    pub height: Option<i32>,
    /// Length of a video in milliseconds, as declared.
    #[schema(required = true)]
    pub duration_ms: Option<i64>,
    /// A placeholder of a picture: a thumbhash of up to 25 bytes, in base64.
    #[schema(required = true)]
    pub thumbhash: Option<String>,
    /// The smaller forms of a picture.
    pub variants: Vec<MediaVariant>,
    /// The SHA-256 digest of its bytes, in base64: as declared, and from `ready` on as found.
    #[schema(required = true)]
    pub sha256: Option<String>,
    /// When the upload was created.
    pub created_at: Timestamp,
}

/// A part of an upload.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UploadPart {
    /// Its number, from 1.
    #[schema(minimum = 1)]
    pub part: i32,
    /// Its size in bytes.
    pub size: i64,
    /// The server has it.
    pub received: bool,
}

/// An upload: what the server has of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Upload {
    /// The media.
    pub media: Media,
    /// The size of every part but the last one, in bytes.
    pub part_bytes: i64,
    /// The parts.
    pub parts: Vec<UploadPart>,
    /// An unfinished upload is deleted then, and one that no message refers to 24 hours after it was ready. Null: a message refers to
    /// it.
    #[schema(required = true)]
    pub expires_at: Option<Timestamp>,
    /// Where parts can be sent to the store itself, with `TIDELINE_MEDIA_DIRECT` and with the digests of the parts; else null.
    #[schema(required = true)]
    pub direct: Option<Vec<DirectPart>>,
}

/// A request that uploads a part to the store itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DirectPart {
    /// The number of the part.
    pub part: i32,
    /// Where to `PUT` its bytes.
    pub url: String,
    /// The headers of that request.
    #[schema(value_type = Object)]
    pub headers: std::collections::BTreeMap<String, String>,
    /// The address is valid until then.
    pub expires_at: Timestamp,
}
