//! A message as one reader may see it.
//!
//! Entries of an inbox stay after their reader has left the conversation, and a send is answered again to a sender who has left.
//! Such a reader sees the message as it was when the reader left, without reactions. A recall holds for every reader. Pages without
//! such messages need no query here.

use crate::model::ids::{ConvSeq, UserId};
use crate::model::wire::content::StoredBody;
use crate::model::wire::message::{Message, MessageState};
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::messaging::reactions::ReactionKey;
use crate::storage::pg::messaging::{members, reactions, states};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Shows messages to a reader that may have left their conversations.
pub fn restrict<'a>(
    conn: &mut Connection,
    reader: UserId,
    messages: impl Iterator<Item = &'a mut Message>,
) -> StorageResult<()> {
    let is_personal = |message: &&mut Message| message.state.is_some();
    let changed: Vec<_> = messages.filter(is_personal).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let ids: BTreeSet<_> = changed.iter().map(|one| one.conversation_id).collect();
    let joined = members::joined(conn, reader, &ids.into_iter().collect::<Vec<_>>())?;
    let (own, foreign): (Vec<_>, Vec<_>) = changed.into_iter().partition(|one| {
        let joined = joined.get(&one.conversation_id);
        joined.is_some_and(|joined| *joined < one.seq)
    });
    let own = own.into_iter().map(|one| {
        let joined = joined.get(&one.conversation_id).copied();
        (one, joined.unwrap_or_default())
    });
    personalise(conn, reader, own)?;
    if foreign.is_empty() {
        return Ok(());
    }
    let keys: BTreeSet<_> = foreign
        .iter()
        .map(|one| (one.conversation_id, one.seq))
        .collect();
    let seen = states::before_leaving(conn, reader, &keys.into_iter().collect::<Vec<_>>())?;
    let seen: HashMap<_, _> = seen.into_iter().map(|one| (one.key, one)).collect();
    for message in foreign {
        let mut state = MessageState {
            change_seq: message.state.as_ref().and_then(|state| state.change_seq),
            ..MessageState::default()
        };
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

/// Marks the reactions of the reader, and hides the senders of messages that the reader may not see. Each message comes with the seq
/// at which the reader joined its conversation.
pub fn personalise<'a>(
    conn: &mut Connection,
    reader: UserId,
    messages: impl Iterator<Item = (&'a mut Message, ConvSeq)>,
) -> StorageResult<()> {
    let mut reacted = Vec::new();
    for (message, joined) in messages {
        if let Some(state) = &mut message.state
            && let Some(to) = &mut state.reply_to
            && to.seq <= joined
        {
            to.sender_id = None;
            state.root_seq = None;
        }
        if message.has_reactions() {
            reacted.push(message);
        }
    }
    if reacted.is_empty() {
        return Ok(());
    }
    let mut keys: Vec<_> = reacted
        .iter()
        .flat_map(|message| reaction_keys(message, reader))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let own = reactions::stored(conn, &keys)?;
    let own: HashSet<_> = own.into_iter().map(|(key, _)| key).collect();
    for message in &mut reacted {
        let key = (message.conversation_id, message.seq);
        for reaction in message.state.iter_mut().flat_map(|one| &mut one.reactions) {
            let key = ReactionKey {
                message: key,
                emoji: reaction.emoji.clone(),
                user: reader,
            };
            reaction.me = own.contains(&key);
        }
    }
    Ok(())
}

/// The keys of all reactions that a user may have on a message.
pub fn reaction_keys(message: &Message, user: UserId) -> Vec<ReactionKey> {
    let emojis = message.state.iter().flat_map(|state| &state.reactions);
    emojis
        .map(|reaction| ReactionKey {
            message: (message.conversation_id, message.seq),
            emoji: reaction.emoji.clone(),
            user,
        })
        .collect()
}
