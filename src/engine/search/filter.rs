//! What a search is for, and what the index has of a message.

use crate::engine::search::query::{Terms, indexed};
use crate::engine::search::text::words;
use crate::model::ids::UserId;
use crate::model::wire::content::StoredBody;
use crate::model::wire::message::Message;
use crate::model::wire::search::{Has, Highlight};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::ops::Range;

/// The most places of a result.
const MAX_HIGHLIGHTS: usize = 20;

/// What a search is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The words.
    pub terms: Option<Terms>,
    /// One of these kinds; none: any.
    pub kinds: Vec<String>,
    /// From this user.
    pub sender: Option<UserId>,
    /// With this.
    pub has: Option<Has>,
}

/// A message that matches.
pub struct Match {
    /// The searched field of its content.
    pub field: &'static str,
    /// The value of the field.
    pub value: String,
    /// Where the field has the words, in bytes, ascending and apart.
    pub places: Vec<Range<usize>>,
}

impl Match {
    /// The first places, as clients get them.
    pub fn highlights(&self) -> Vec<Highlight> {
        let mut highlights = Vec::new();
        // Bytes and UTF-16 code units up to the end of the last place.
        let (mut bytes, mut units) = (0, 0);
        let mut advance = |to: usize| {
            let between = self.value.get(bytes..to).unwrap_or_default();
            units += between.encode_utf16().count();
            bytes = to;
            units
        };
        for place in self.places.iter().take(MAX_HIGHLIGHTS) {
            let start = advance(place.start);
            highlights.push(Highlight {
                field: self.field,
                start,
                length: advance(place.end) - start,
            });
        }
        highlights
    }
}

impl Filter {
    /// The `tsquery` of the blocks that may have a match; none if every message matches.
    pub fn block_query(&self) -> Option<String> {
        let words = self.terms.iter().flat_map(Terms::conditions);
        let kinds: Vec<_> = self
            .kinds
            .iter()
            .map(|kind| format!("'{}'", kind_lexeme(kind)))
            .collect();
        let kinds = (!kinds.is_empty()).then(|| format!("({})", kinds.join(" | ")));
        let sender = self
            .sender
            .map(|sender| format!("'{}'", sender_lexeme(sender)));
        let has = self.has.map(|has| format!("'{}'", has_lexeme(has)));
        let all: Vec<_> = words.chain(kinds).chain(sender).chain(has).collect();
        (!all.is_empty()).then(|| format!("({}) | '*'", all.join(" & ")))
    }

    /// Whether a message matches, and where.
    pub fn find(&self, message: &Message) -> Option<Match> {
        let body = &message.body;
        let is_kind = self.kinds.is_empty() || self.kinds.contains(&body.kind);
        let is_sender = self.sender.is_none_or(|sender| sender == message.sender_id);
        if message.is_stub() || !is_kind || !is_sender {
            return None;
        }
        let (field, value) = searched(body).unwrap_or_default();
        if self.has.is_some_and(|has| !has_it(has, body, &value)) {
            return None;
        }
        let places = match &self.terms {
            Some(terms) => terms.find(&value)?,
            None => Vec::new(),
        };
        Some(Match {
            field,
            value,
            places,
        })
    }
}

/// The lexemes of a message.
pub fn lexemes(message: &Message, into: &mut BTreeSet<String>) {
    let body = &message.body;
    if message.is_stub() {
        return;
    }
    into.insert(kind_lexeme(&body.kind));
    into.insert(sender_lexeme(message.sender_id));
    let (_, value) = searched(body).unwrap_or_default();
    for has in [Has::Media, Has::Link] {
        if has_it(has, body, &value) {
            into.insert(has_lexeme(has).to_owned());
        }
    }
    into.extend(indexed(&words(&value)));
}

// Lexemes that are no words begin with a character that no word has, or the beginning of a word would find them.

fn kind_lexeme(kind: &str) -> String {
    format!("=kind:{kind}")
}

/// The end of an id is random in every version of UUID.
fn sender_lexeme(sender: UserId) -> String {
    format!("=from:{:08x}", sender.0.as_u128() & u128::from(u32::MAX))
}

fn has_lexeme(has: Has) -> &'static str {
    match has {
        Has::Media => "=has:media",
        Has::Link => "=has:link",
    }
}

fn has_it(has: Has, body: &StoredBody, value: &str) -> bool {
    match has {
        Has::Media => ["image", "video", "file"].contains(&&*body.kind),
        Has::Link => {
            let has = |scheme| value.contains(scheme);
            body.kind == "text" && (has("http://") || has("https://"))
        }
    }
}

/// The field of a content that is searched, and its value.
fn searched(body: &StoredBody) -> Option<(&'static str, String)> {
    #[derive(Deserialize)]
    struct Fields {
        text: Option<String>,
        name: Option<String>,
        alt: Option<String>,
    }
    if !["text", "file", "image", "video"].contains(&&*body.kind) {
        return None;
    }
    let fields: Fields = serde_json::from_str(body.content.get()).ok()?;
    match &*body.kind {
        "text" => Some(("text", fields.text?)),
        "file" => Some(("name", fields.name?)),
        _ => Some(("alt", fields.alt?)),
    }
}
