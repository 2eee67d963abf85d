//! A message as one reader may see it.
//!
//! Entries of an inbox stay after their reader has left the conversation, and a send is answered again to a sender who has left.
//! Such a reader sees the message as it was when the reader left, without reactions. A recall holds for every reader. Pages without
//! such messages need no query here.

use crate::model::ids::{ConvSeq, UserId};
use crate::model::wire::content::{EXPIRED, StoredBody};
use crate::model::wire::conversation::Conversation;
use crate::model::wire::message::{Message, MessageState};
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::messaging::reactions::ReactionKey;
use crate::storage::pg::messaging::{members, reactions, states};
use std::collections::{BTreeSet, HashMap, HashSet};

/// A message on its way to a reader.
pub struct ShownMessage<'a> {
    /// Who reads it.
    pub reader: UserId,
    /// The message, as stored.
    pub message: &'a mut Message,
    /// The reader may see the messages of its conversation above this seq.
    pub after: ConvSeq,
}

/// Shows messages to readers that may have left their conversations.
pub fn restrict<'a>(
    conn: &mut Connection,
    messages: impl Iterator<Item = (UserId, &'a mut Message)>,
) -> StorageResult<()> {
    let changed: Vec<_> = messages.filter(|(_, one)| one.state.is_some()).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let place = |(reader, one): &(UserId, &mut Message)| (*reader, one.conversation_id);
    let places: BTreeSet<_> = changed.iter().map(place).collect();
    let visible = members::visible(conn, &places.into_iter().collect::<Vec<_>>())?;
    let (mut own, mut foreign) = (Vec::new(), Vec::new());
    for (reader, message) in changed {
        let visible = visible.get(&(reader, message.conversation_id));
        match visible.filter(|visible| visible.joined_seq < message.seq) {
            Some(visible) => own.push(ShownMessage {
                reader,
                message,
                after: visible.after,
            }),
            None => foreign.push((reader, message)),
        }
    }
    personalise(conn, own.into_iter())?;
    if foreign.is_empty() {
        return Ok(());
    }
    let key = |(reader, one): &(UserId, &mut Message)| (*reader, one.conversation_id, one.seq);
    let keys: BTreeSet<_> = foreign.iter().map(key).collect();
    let seen = states::before_leaving(conn, &keys.into_iter().collect::<Vec<_>>())?;
    let seen: HashMap<_, _> = seen.into_iter().map(|one| (one.key, one)).collect();
    for (reader, message) in foreign {
        let before = message.state.as_deref();
        let mut state = MessageState {
            change_seq: before.and_then(|state| state.change_seq),
            forward: before.and_then(|state| state.forward),
            expires_at: before.and_then(|state| state.expires_at),
            ..MessageState::default()
        };
        match seen.get(&(reader, message.conversation_id, message.seq)) {
            // Its content may not be erased yet.
            _ if message.body.kind == EXPIRED => {}
            Some(version) => {
                message.body.content = version.content.clone();
                state.version = Some(version.version).filter(|version| *version > 1);
                state.edited_at = version.edited_at;
                // It counts the changes of after leaving.
                state.change_seq = None;
            }
            // It was recalled a moment ago.
            None => message.body = StoredBody::recalled(),
        }
        message.state = Some(Box::new(state));
    }
    Ok(())
}

/// Shows the last messages of conversations to a member of each.
pub fn last_messages(
    conn: &mut Connection,
    reader: UserId,
    conversations: &mut [Conversation],
) -> StorageResult<()> {
    let last = conversations.iter_mut().filter_map(|one| {
        Some(ShownMessage {
            reader,
            message: one.last_message.as_mut()?,
            after: one.me.joined_seq.max(one.me.cleared_seq),
        })
    });
    personalise(conn, last)
}

/// Marks the reactions of the reader, and hides the senders of messages that the reader may not see.
pub fn personalise<'a>(
    conn: &mut Connection,
    messages: impl Iterator<Item = ShownMessage<'a>>,
) -> StorageResult<()> {
    let mut reacted = Vec::new();
    for view in messages {
        let ShownMessage { message, after, .. } = view;
        if let Some(state) = &mut message.state {
            if let Some(to) = state.reply_to.as_mut().filter(|to| to.seq <= after) {
                to.sender_id = None;
            }
            // The reader may see the message to which it replies, and not the first one of the chain.
            state.root_seq = state.root_seq.filter(|root| *root > after);
        }
        if message.has_reactions() {
            reacted.push((view.reader, message));
        }
    }
    if reacted.is_empty() {
        return Ok(());
    }
    let mut keys: Vec<_> = reacted
        .iter()
        .flat_map(|(reader, message)| reaction_keys(message, *reader))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let own = reactions::stored(conn, &keys)?;
    let own: HashSet<_> = own.into_iter().collect();
    for (reader, message) in &mut reacted {
        let key = (message.conversation_id, message.seq);
        for reaction in message.state.iter_mut().flat_map(|one| &mut one.reactions) {
            let key = ReactionKey {
                message: key,
                emoji: reaction.emoji.clone(),
                user: *reader,
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
