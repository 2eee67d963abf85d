//! The kinds of message content and their limits. Input is parsed here once, and the JSON of the parsed value is stored, so no
//! unchecked content reaches the archive.

use crate::model::ids::UserId;
use crate::model::input;
use crate::model::strict::Strict;
use crate::model::validators::{bytes, items, within};
use crate::model::violation::Violation;
use garde::Validate;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The longest text, in bytes of UTF-8.
pub const TEXT_BYTES: usize = 16 * 1024;

/// The most users that a text mentions.
const MAX_MENTIONS: usize = 100;

/// The most levels of a custom content. A page of messages then has fewer than 128 levels, the limit of common JSON parsers.
const MAX_CUSTOM_DEPTH: usize = 100;

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

/// Kind and content, checked and serialized for storage.
#[derive(Clone, Debug)]
pub struct Content {
    kind: &'static str,
    json: String,
    mentions: Vec<UserId>,
}

impl Content {
    /// Checks kind and content. The pointers of violations are relative to the message.
    pub fn parse(kind: &str, content: Strict) -> Result<Self, Vec<Violation>> {
        let typed = match kind {
            "text" => TypedContent::Text(checked(content)?),
            "emoji" => TypedContent::Emoji(checked(content)?),
            "image" => TypedContent::Image(checked(content)?),
            "video" => TypedContent::Video(checked(content)?),
            "file" => TypedContent::File(checked(content)?),
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
        let mentions = match typed {
            TypedContent::Text(text) => text.mentions,
            TypedContent::Emoji(_)
            | TypedContent::Image(_)
            | TypedContent::Video(_)
            | TypedContent::File(_)
            | TypedContent::Custom(_) => Vec::new(),
        };
        Ok(Self {
            kind,
            json: value.to_string(),
            mentions,
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

    /// Whether a stored message has the same kind and, compared as JSON values, the same content.
    pub fn is_same(&self, stored: &StoredBody) -> bool {
        if self.kind != stored.kind {
            return false;
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

fn web_url(url: &str, _: &()) -> garde::Result {
    // Schemes are case-insensitive.
    let is_web = |scheme: &str| {
        ["http", "https"]
            .iter()
            .any(|one| scheme.eq_ignore_ascii_case(one))
    };
    let rest = url
        .split_once("://")
        .and_then(|(scheme, rest)| is_web(scheme).then_some(rest))
        .ok_or_else(|| garde::Error::new("must be an http or https URL"))?;
    if rest.is_empty() || rest.starts_with('/') || url.len() > 2048 {
        return Err(garde::Error::new(
            "must name a host and be at most 2048 bytes long",
        ));
    }
    if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(garde::Error::new(
            "must not contain white space or control characters",
        ));
    }
    Ok(())
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

/// Kind and content as stored in the archive. The content is returned byte for byte, without parsing.
#[derive(Clone, Debug, Serialize)]
pub struct StoredBody {
    /// The kind. An open set: clients skip unknown kinds.
    pub kind: String,
    /// The content, an object.
    pub content: Box<RawValue>,
}
