//! Message content and state as they are stored.

use crate::model::ids::{ChangeSeq, UserId};
use crate::model::message::Extra;
use crate::model::time::Timestamp;
use crate::model::wire::content::{EXPIRED, RECALLED, StoredBody};
use crate::model::wire::message::{Forward, MessageState, Pinned, Recalled, ReplyTo};
use crate::model::wire::reaction::ReactionCount;
use crate::storage::error::{StorageError, StorageResult};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

/// The body of a stored message. The writer has serialized its content from a checked value, so it is valid JSON.
pub(in crate::storage::pg) fn stored_body(kind: String, json: String) -> StorageResult<StoredBody> {
    let content = stored_content(json)?;
    Ok(StoredBody { kind, content })
}

/// A stored content.
pub(in crate::storage::pg) fn stored_content(json: String) -> StorageResult<Box<RawValue>> {
    RawValue::from_string(json).map_err(bug)
}

/// The column `changes` of `messages_now`.
#[derive(Deserialize)]
struct Changes {
    change_seq: Option<ChangeSeq>,
    version: Option<i32>,
    edited_at: Option<Timestamp>,
    recalled_at: Option<Timestamp>,
    recalled_by: Option<UserId>,
    reactions: Option<Vec<ReactionCount>>,
    author_told_at: Option<Timestamp>,
    extra: Option<Extra>,
    pinned_at: Option<Timestamp>,
    pinned_by: Option<UserId>,
}

/// The state of a message of this kind, from the column `changes` of `messages_now`.
pub(in crate::storage::pg) fn message_state(
    kind: &str,
    changes: Option<&str>,
) -> StorageResult<Option<Box<MessageState>>> {
    let Some(json) = changes else {
        return Ok(None);
    };
    let changes: Changes = serde_json::from_str(json).map_err(bug)?;
    let is_gone = [RECALLED, EXPIRED].contains(&kind);
    let expires_at = changes.extra.and_then(|extra| extra.expires_at);
    let extra = changes.extra.filter(|_| !is_gone).unwrap_or_default();
    let reactions = changes.reactions.filter(|_| !is_gone);
    let recalled = changes.recalled_by.zip(changes.recalled_at);
    let pinned = changes.pinned_by.zip(changes.pinned_at);
    let pinned = pinned.filter(|_| !is_gone);
    Ok(Some(Box::new(MessageState {
        change_seq: changes.change_seq,
        version: changes.version.filter(|version| !is_gone && *version > 1),
        reply_to: extra.reply_to.map(|seq| ReplyTo {
            seq,
            sender_id: extra.reply_sender,
        }),
        root_seq: extra.root_seq,
        mention_all: extra.mention_all,
        expires_at,
        forward: Forward::of(&extra),
        edited_at: changes.edited_at.filter(|_| !is_gone),
        reactions: reactions.unwrap_or_default(),
        author_told_at: changes.author_told_at,
        pinned: pinned.map(|(by, at)| Pinned { by, at }),
        recalled: recalled.map(|(by, at)| Recalled { by, at }),
    })))
}

/// The column `extra` of `messages`.
pub(in crate::storage::pg) fn stored_extra(json: Option<&str>) -> StorageResult<Extra> {
    json.map_or(Ok(Extra::default()), |json| {
        serde_json::from_str(json).map_err(bug)
    })
}

/// The column `reactions` of `message_states`.
pub(in crate::storage::pg) fn stored_reactions(
    reactions: &[ReactionCount],
) -> StorageResult<Option<String>> {
    let count = |one: &ReactionCount| json!({"emoji": one.emoji, "count": one.count});
    let counts: Vec<_> = reactions.iter().map(count).collect();
    match counts.is_empty() {
        true => Ok(None),
        false => serde_json::to_string(&counts).map(Some).map_err(bug),
    }
}

fn bug(error: serde_json::Error) -> StorageError {
    StorageError::Bug(error.to_string())
}
