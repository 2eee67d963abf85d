//! The state of a batch under its locks, and the plan of its writes.

use crate::engine::error::Error;
use crate::model::ids::{ConvSeq, ConversationId, UserId};
use crate::model::time::Timestamp;
use crate::model::wire::message::Message;
use crate::storage::pg::RowHandle;
use crate::storage::pg::messaging::archive::{Changes, Key, MemberRow};
use crate::storage::pg::messaging::conversations::LockedConversation;
use crate::storage::pg::people::blocks::Block;
use crate::storage::pg::sync::inbox::NewEntry;
use std::collections::{HashMap, HashSet};

/// The writes of a batch.
#[derive(Default)]
pub struct Plan {
    pub(super) changes: Changes,
    pub(super) entries: Vec<NewEntry>,
    /// The new heads of large conversations.
    pub(super) moved: HashMap<ConversationId, ConvSeq>,
    /// The time of PostgreSQL after the locks were taken.
    pub(super) at: Option<Timestamp>,
}

/// A conversation of the batch.
pub struct ConversationState {
    pub(super) place: RowHandle,
    pub(super) last_seq: ConvSeq,
    pub(super) at: Timestamp,
    /// It is direct, and one of the two people blocks the other.
    pub(super) blocked: bool,
    pub(super) is_channel: bool,
    /// It has read fan-out: no message has inbox entries, and `members` has only those that the batch needs.
    pub(super) large: bool,
    pub(super) members: Vec<MemberRow>,
}

impl ConversationState {
    /// The row of a member.
    pub(super) fn member(&mut self, user: UserId) -> Result<&mut MemberRow, Error> {
        let found = self.members.iter_mut().find(|member| member.user == user);
        found.ok_or(Error::NotFound)
    }
}

/// The locked state of a batch, as of its beginning.
pub struct State {
    pub(super) now: Option<Timestamp>,
    pub(super) conversations: HashMap<ConversationId, ConversationState>,
    pub(super) stored: HashMap<Key, Message>,
    /// Blocks of mentioned users against the senders.
    pub(super) blocks: HashSet<Block>,
}

impl State {
    pub(super) fn new(
        locked: Vec<LockedConversation>,
        members: Vec<MemberRow>,
        stored: Vec<Message>,
        blocks: HashSet<Block>,
    ) -> Self {
        let now = members.first().map(|member| member.now);
        let mut conversations: HashMap<_, _> = locked
            .into_iter()
            .map(|one| {
                let conversation = ConversationState {
                    place: one.place,
                    last_seq: one.last_seq,
                    // If the clock was set back, a message still gets no earlier time than the one before it.
                    at: now.map_or(one.updated_at, |now| now.max(one.updated_at)),
                    blocked: one.blocked,
                    is_channel: one.is_channel,
                    large: one.read_fanout_from_seq.is_some(),
                    members: Vec::new(),
                };
                (one.id, conversation)
            })
            .collect();
        for member in members {
            if let Some(conversation) = conversations.get_mut(&member.conversation) {
                conversation.members.push(member);
            }
        }
        let stored = stored
            .into_iter()
            .map(|one| ((one.conversation_id, one.sender_id, one.client_msg_id), one))
            .collect();
        Self {
            now,
            conversations,
            stored,
            blocks,
        }
    }
}
