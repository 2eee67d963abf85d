//! The number of unread messages that name a user.

use crate::model::ids::UserId;
use crate::model::wire::conversation::Conversation;
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::messaging::mentions::{UnreadRange, unread};

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
    let counts = unread(conn, user, &ranges)?;
    for one in conversations {
        one.me.unread_mentions = counts.get(&one.id).copied().unwrap_or(0);
    }
    Ok(())
}
