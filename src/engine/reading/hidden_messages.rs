//! Messages that a reader has hidden. The reader sees stubs in their places: a page has no gap.

use crate::model::ids::UserId;
use crate::model::wire::message::Message;
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::messaging::hidden;
use std::collections::BTreeSet;

/// Replaces the messages that the reader has hidden. `hides`: the reader hides messages there at all; otherwise there is no query.
pub fn replace<'a>(
    conn: &mut Connection,
    reader: UserId,
    hides: bool,
    messages: impl Iterator<Item = &'a mut Message>,
) -> StorageResult<()> {
    if !hides {
        return Ok(());
    }
    let messages: Vec<_> = messages.collect();
    let keys: BTreeSet<_> = messages
        .iter()
        .map(|one| (one.conversation_id, one.seq))
        .collect();
    if keys.is_empty() {
        return Ok(());
    }
    let hidden = hidden::among(conn, reader, &keys.into_iter().collect::<Vec<_>>())?;
    for message in messages {
        if hidden.contains(&(message.conversation_id, message.seq)) {
            message.hide();
        }
    }
    Ok(())
}
