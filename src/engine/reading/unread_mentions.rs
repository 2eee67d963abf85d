//! The number of unread messages that name a user.

use crate::model::ids::{ConversationId, UserId};
use crate::model::wire::conversation::Conversation;
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::messaging::hidden;
use crate::storage::pg::messaging::mentions::{self, UnreadRange};
use crate::storage::pg::people::blocks;
use std::collections::HashMap;

/// The numbers of messages in these ranges that name a user, by name or with everyone. An expired one does not count, nor one that
/// the user has hidden, nor one that names everyone by a user whom this user blocks.
pub fn counts(
    conn: &mut Connection,
    user: UserId,
    ranges: &[UnreadRange],
) -> StorageResult<HashMap<ConversationId, i64>> {
    let mut counts = HashMap::new();
    if ranges.is_empty() {
        return Ok(counts);
    }
    let unread = mentions::unread(conn, user, ranges)?;
    if unread.is_empty() {
        return Ok(counts);
    }
    let keys: Vec<_> = unread.keys().copied().collect();
    let hidden = hidden::among(conn, user, &keys)?;
    let mut sent = mentions::senders(conn, &keys)?;
    sent.retain(|(key, _)| !hidden.contains(key));
    let is_by_name = |key| unread.get(key).copied().unwrap_or_default();
    let with_all = sent.iter().filter(|(key, _)| !is_by_name(key));
    let blocks: Vec<_> = with_all.map(|(_, sender)| (user, *sender)).collect();
    let blocked = match blocks.is_empty() {
        true => Default::default(),
        false => blocks::among(conn, blocks)?,
    };
    for (key, sender) in &sent {
        if is_by_name(key) || !blocked.contains(&(user, *sender)) {
            *counts.entry(key.0).or_default() += 1;
        }
    }
    Ok(counts)
}

/// Counts the unread mentions of a user in conversations. Conversations without any need no query.
pub fn count(
    conn: &mut Connection,
    user: UserId,
    conversations: &mut [Conversation],
) -> StorageResult<()> {
    let ranges: Vec<_> = conversations
        .iter()
        .filter(|one| one.me.may_have_mentions)
        .map(|one| UnreadRange {
            conversation: one.id,
            after: one.me.read_seq,
        })
        .collect();
    let counts = counts(conn, user, &ranges)?;
    for one in conversations {
        one.me.unread_mentions = counts.get(&one.id).copied().unwrap_or(0);
    }
    Ok(())
}
