//! Which version of an edited message a reader may see.
//!
//! Entries of an inbox stay after their reader has left the conversation, and a send is answered again to a sender who has left.
//! Such a reader sees the message as it was when the reader left. A recall holds for every reader.

use crate::model::ids::UserId;
use crate::model::wire::content::StoredBody;
use crate::model::wire::message::{Message, MessageState};
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::messaging::{members, states};
use std::collections::{BTreeSet, HashMap};

/// Replaces versions that were stored after the reader left. Pages without edited messages need no query.
pub fn restrict<'a>(
    conn: &mut Connection,
    reader: UserId,
    messages: impl Iterator<Item = &'a mut Message>,
) -> StorageResult<()> {
    let edited: Vec<_> = messages.filter(|message| message.version() > 1).collect();
    if edited.is_empty() {
        return Ok(());
    }
    let ids: BTreeSet<_> = edited.iter().map(|one| one.conversation_id).collect();
    let joined = members::joined(conn, reader, &ids.into_iter().collect::<Vec<_>>())?;
    let is_foreign = |one: &&mut Message| {
        let joined = joined.get(&one.conversation_id);
        joined.is_none_or(|joined| *joined >= one.seq)
    };
    let foreign: Vec<_> = edited.into_iter().filter(is_foreign).collect();
    if foreign.is_empty() {
        return Ok(());
    }
    let keys: BTreeSet<_> = foreign
        .iter()
        .map(|one| (one.conversation_id, one.seq))
        .collect();
    let keys: Vec<_> = keys.into_iter().collect();
    let seen = states::before_leaving(conn, reader, &keys)?;
    let seen: HashMap<_, _> = seen.into_iter().map(|one| (one.key, one)).collect();
    for message in foreign {
        let change_seq = message.state.as_ref().map(|state| state.change_seq);
        let mut state = MessageState::new(change_seq.unwrap_or_default());
        match seen.get(&(message.conversation_id, message.seq)) {
            Some(version) => {
                message.body.content = version.content.clone();
                state.version = Some(version.version).filter(|version| *version > 1);
                state.edited_at = version.edited_at;
            }
            // It was recalled a moment ago.
            None => message.body = StoredBody::recalled(),
        }
        message.state = Some(Box::new(state));
    }
    Ok(())
}
