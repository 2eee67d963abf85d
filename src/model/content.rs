//! Message content on its way in. It is parsed here once, and the JSON of the parsed value is stored, so no unchecked content
//! reaches the archive.

use crate::model::ids::{MediaId, UserId};
use crate::model::input;
use crate::model::strict::Strict;
use crate::model::wire::content::{
    NewFile, NewImage, NewVideo, StoredBody, TypedContent, UploadedContent,
};
use crate::model::wire::violation::Violation;
use garde::Validate;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
/// The most levels of a custom content. A page of messages then has fewer than 128 levels, the limit of common JSON parsers.
const MAX_CUSTOM_DEPTH: usize = 100;

/// The names of the kinds.
pub const KINDS: [&str; 6] = ["text", "emoji", "image", "video", "file", "custom"];

/// Kind and content, checked and serialized for storage.
#[derive(Clone, Debug)]
pub struct Content {
    kind: &'static str,
    json: String,
    mentions: Vec<UserId>,
    /// Media that the server keeps.
    media: Option<UploadedContent>,
}

impl Content {
    /// Checks kind and content. The pointers of violations are relative to the message.
    pub fn parse(kind: &str, content: Strict) -> Result<Self, Vec<Violation>> {
        let typed = match kind {
            "text" => TypedContent::Text(checked(content)?),
            "emoji" => TypedContent::Emoji(checked(content)?),
            "image" if is_upload(&content) => {
                TypedContent::Image(NewImage::Upload(upload(kind, content)?))
            }
            "video" if is_upload(&content) => {
                TypedContent::Video(NewVideo::Upload(upload(kind, content)?))
            }
            "file" if is_upload(&content) => {
                TypedContent::File(NewFile::Upload(upload(kind, content)?))
            }
            "image" => TypedContent::Image(NewImage::Link(checked(content)?)),
            "video" => TypedContent::Video(NewVideo::Link(checked(content)?)),
            "file" => TypedContent::File(NewFile::Link(checked(content)?)),
            "custom" => match content.0 {
                Value::Object(map) if depth(&map) <= MAX_CUSTOM_DEPTH => TypedContent::Custom(map),
                Value::Object(_) => {
                    let detail =
                        format!("must not be nested deeper than {MAX_CUSTOM_DEPTH} levels");
                    return Err(vec![Violation::new("/content", detail)]);
                }
                _ => return Err(vec![Violation::new("/content", "must be an object")]),
            },
            _ => {
                let detail = "must be one of text, emoji, image, video, file, custom";
                return Err(vec![Violation::new("/kind", detail)]);
            }
        };
        let (kind, value) = match &typed {
            TypedContent::Text(c) => ("text", serde_json::to_value(c)),
            TypedContent::Emoji(c) => ("emoji", serde_json::to_value(c)),
            TypedContent::Image(c) => ("image", serde_json::to_value(c)),
            TypedContent::Video(c) => ("video", serde_json::to_value(c)),
            TypedContent::File(c) => ("file", serde_json::to_value(c)),
            TypedContent::Custom(c) => ("custom", serde_json::to_value(c)),
        };
        let value = value.map_err(|_unreachable| {
            vec![Violation::new("/content", "cannot be written as JSON")]
        })?;
        let (mentions, media) = match typed {
            TypedContent::Text(text) => (text.mentions, None),
            TypedContent::Image(NewImage::Upload(media))
            | TypedContent::Video(NewVideo::Upload(media))
            | TypedContent::File(NewFile::Upload(media)) => (Vec::new(), Some(media)),
            TypedContent::Emoji(_)
            | TypedContent::Image(NewImage::Link(_))
            | TypedContent::Video(NewVideo::Link(_))
            | TypedContent::File(NewFile::Link(_))
            | TypedContent::Custom(_) => (Vec::new(), None),
        };
        Ok(Self {
            kind,
            json: value.to_string(),
            mentions,
            media,
        })
    }

    /// The content of a stored message for another message, without its mentions; none of a stub, and of an unknown kind.
    pub fn copy(stored: &StoredBody) -> Option<Self> {
        let kind = KINDS.iter().find(|kind| **kind == stored.kind)?;
        let json = stored.content.get();
        let json = match Strict::parse(json.as_bytes()) {
            Ok(Strict(Value::Object(mut text))) if *kind == "text" => {
                text.remove("mentions");
                Value::Object(text).to_string()
            }
            Ok(_) | Err(_) => json.to_owned(),
        };
        Some(Self {
            kind,
            json,
            mentions: Vec::new(),
            media: stored_media(stored),
        })
    }

    /// The name of the kind.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The content as JSON.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The mentioned users.
    pub fn mentions(&self) -> &[UserId] {
        &self.mentions
    }

    /// Media that the server keeps, of an image, video or file. The content to store is made of them and of this.
    pub fn media(&self) -> Option<&UploadedContent> {
        self.media.as_ref()
    }

    /// Whether a stored message has the same kind and, compared as JSON values, the same content.
    pub fn is_same(&self, stored: &StoredBody) -> bool {
        if self.kind != stored.kind {
            return false;
        }
        if self.media.is_some() {
            return self.media == stored_media(stored);
        }
        self.json == stored.content.get()
            || match (
                Strict::parse(self.json.as_bytes()),
                Strict::parse(stored.content.get().as_bytes()),
            ) {
                (Ok(Strict(new)), Ok(Strict(old))) => same(&new, &old),
                (Ok(_) | Err(_), Ok(_) | Err(_)) => false,
            }
    }
}

/// The new content of a message, of which only the writer knows the kind.
pub struct NewContent {
    text: Result<Content, Vec<Violation>>,
    custom: Result<Content, Vec<Violation>>,
}

impl NewContent {
    /// Checks the content for every kind of message that can be edited.
    pub fn parse(content: Strict) -> Self {
        Self {
            text: Content::parse("text", Strict(content.0.clone())),
            custom: Content::parse("custom", content),
        }
    }

    /// The content of a message of this kind.
    pub fn of(&self, kind: &str) -> Result<&Content, Vec<Violation>> {
        let parsed = match kind {
            "text" => &self.text,
            "custom" => &self.custom,
            _ => {
                let detail = format!(
                    "must be that of a text or custom message: a message of kind {kind} cannot be edited"
                );
                return Err(vec![Violation::new("/content", detail)]);
            }
        };
        parsed.as_ref().map_err(Clone::clone)
    }

    /// The users that it mentions if it is a text.
    pub fn mentions(&self) -> &[UserId] {
        self.text.as_ref().map_or(&[], Content::mentions)
    }
}

/// Equality of JSON values: 1.0 equals 1, and the order of keys does not matter.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        // Integers are compared exactly, also those beyond the precision of a double.
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            a.as_f64() == b.as_f64()
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

fn checked<T: DeserializeOwned + Validate<Context = ()>>(
    value: Strict,
) -> Result<T, Vec<Violation>> {
    let content: T = input::json(value).map_err(|violation| vec![violation.inside("/content")])?;
    content
        .validate()
        .map_err(|report| Violation::from_report("/content", &report))?;
    Ok(content)
}

/// Whether a content names media that the server keeps.
fn is_upload(content: &Strict) -> bool {
    content.0.get("media_id").is_some()
}

fn upload(kind: &str, content: Strict) -> Result<UploadedContent, Vec<Violation>> {
    let media: UploadedContent = checked(content)?;
    if kind != "video" && media.poster_media_id.is_some() {
        let detail = "must be given for videos only";
        return Err(vec![Violation::new("/content/poster_media_id", detail)]);
    }
    Ok(media)
}

/// What the sender of a stored message has named of media that the server keeps.
fn stored_media(stored: &StoredBody) -> Option<UploadedContent> {
    #[derive(Deserialize)]
    struct Named {
        media_id: MediaId,
        poster_media_id: Option<MediaId>,
        alt: Option<String>,
    }
    let is_of_media = ["image", "video", "file"].contains(&&*stored.kind);
    let named: Named = is_of_media.then(|| serde_json::from_str(stored.content.get()).ok())??;
    Some(UploadedContent {
        media_id: named.media_id,
        poster_media_id: named.poster_media_id,
        alt: named.alt,
    })
}

fn depth(map: &Map<String, Value>) -> usize {
    fn of(value: &Value) -> usize {
        match value {
            Value::Object(map) => depth(map),
            Value::Array(items) => 1 + items.iter().map(of).max().unwrap_or(0),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
        }
    }
    1 + map.values().map(of).max().unwrap_or(0)
}
