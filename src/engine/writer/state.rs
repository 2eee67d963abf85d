//! The state of a batch under its locks, and the plan of its writes.

use crate::engine::error::Error;
use crate::model::ids::{ChangeSeq, ConvSeq, ConversationId, UserId};
use crate::model::moved::{Moved, MovedChange};
use crate::model::time::Timestamp;
use crate::model::wire::message::Message;
use crate::storage::pg::RowHandle;
use crate::storage::pg::messaging::archive::{
    Changes, ConversationHead, Key, MemberRow, MessageKey, StoredSend,
};
use crate::storage::pg::messaging::conversations::LockedConversation;
use crate::storage::pg::messaging::mentions::MentionChanges;
use crate::storage::pg::messaging::reactions::ReactionKey;
use crate::storage::pg::messaging::states::StateChanges;
use crate::storage::pg::people::blocks::Block;
use crate::storage::pg::sync::inbox::NewEntry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The writes of a batch.
#[derive(Default)]
pub struct Plan {
    pub(super) changes: Changes,
    pub(super) states: StateChanges,
    pub(super) mentions: MentionChanges,
    pub(super) entries: Vec<NewEntry>,
    /// The new heads of watched conversations.
    pub(super) moved: HashMap<ConversationId, Moved>,
    /// The time of PostgreSQL after the locks were taken.
    pub(super) at: Option<Timestamp>,
}

impl Plan {
    /// Notes the new heads of a conversation.
    pub(super) fn move_to(&mut self, id: ConversationId, heads: Moved) {
        let before = self.moved.get(&id).copied();
        self.moved
            .insert(id, before.map_or(heads, |before| before.and(heads)));
    }

    /// Notes the new state of a message that has taken its conversation's latest change number.
    pub(super) fn change(
        &mut self,
        id: ConversationId,
        conversation: &ConversationState,
        message: Message,
        urgency: Urgency,
    ) {
        self.changes
            .heads
            .insert(conversation.place, conversation.head());
        self.states.states.insert((id, message.seq), message);
        let heads = Moved {
            seq: conversation.last_seq,
            change: Some(MovedChange {
                seq: conversation.change_seq,
                is_urgent: urgency == Urgency::Now,
            }),
        };
        self.move_to(id, heads);
    }

    /// Whether it writes nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.changes.heads.is_empty() && self.changes.positions.is_empty()
    }
}

/// How soon watchers of a conversation learn of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Immediately.
    Now,
    /// At most every two seconds.
    Soon,
}

/// A conversation of the batch.
pub struct ConversationState {
    pub(super) place: RowHandle,
    pub(super) last_seq: ConvSeq,
    pub(super) change_seq: ChangeSeq,
    /// The last message that names everyone.
    pub(super) all_seq: ConvSeq,
    pub(super) member_count: usize,
    /// Its order in lists: the time of its newest message, or of a change of its title or members.
    pub(super) updated_at: Timestamp,
    /// The time of a message that is stored now.
    pub(super) at: Timestamp,
    /// Recalled messages after the positions from which this batch slides.
    pub(super) recalled: BTreeSet<ConvSeq>,
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

    /// Its head after the changes so far.
    pub(super) fn head(&self) -> ConversationHead {
        ConversationHead {
            last_seq: self.last_seq,
            change_seq: self.change_seq,
            all_seq: self.all_seq,
            updated_at: self.updated_at,
        }
    }

    /// The read position of a member who has read up to `seq`: recalled messages that follow are passed.
    pub(super) fn slide(&self, mut seq: ConvSeq) -> ConvSeq {
        while self.recalled.contains(&seq.next()) {
            seq = seq.next();
        }
        seq
    }
}

/// What a batch has read under its locks.
pub(super) struct Loaded {
    pub(super) locked: Vec<LockedConversation>,
    pub(super) members: Vec<MemberRow>,
    pub(super) stored: Vec<StoredSend>,
    pub(super) messages: Vec<Message>,
    pub(super) recalled: Vec<MessageKey>,
    pub(super) own_reactions: Vec<(ReactionKey, Timestamp)>,
    pub(super) named: HashMap<MessageKey, BTreeSet<UserId>>,
    pub(super) blocks: HashSet<Block>,
}

/// The locked state of a batch, as of its beginning.
pub struct State {
    pub(super) now: Option<Timestamp>,
    pub(super) conversations: HashMap<ConversationId, ConversationState>,
    pub(super) stored: HashMap<Key, StoredSend>,
    /// The messages that the batch changes.
    pub(super) messages: HashMap<MessageKey, Message>,
    /// The reactions of callers to the messages to which they react, by emoji, with their times.
    pub(super) reactions: HashMap<(MessageKey, UserId), BTreeMap<String, Timestamp>>,
    /// The users that the changed messages have ever named.
    pub(super) named: HashMap<MessageKey, BTreeSet<UserId>>,
    /// Blocks of mentioned users against the senders.
    pub(super) blocks: HashSet<Block>,
}

impl State {
    pub(super) fn new(loaded: Loaded) -> Self {
        let Loaded {
            locked,
            members,
            stored,
            messages,
            recalled,
            own_reactions,
            named,
            blocks,
        } = loaded;
        let now = members.first().map(|member| member.now);
        let mut conversations: HashMap<_, _> = locked
            .into_iter()
            .map(|one| {
                let conversation = ConversationState {
                    place: one.place,
                    last_seq: one.last_seq,
                    change_seq: one.change_seq,
                    all_seq: one.all_seq,
                    member_count: usize::try_from(one.member_count).unwrap_or(0),
                    updated_at: one.updated_at,
                    recalled: BTreeSet::new(),
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
        for (id, seq) in recalled {
            if let Some(conversation) = conversations.get_mut(&id) {
                conversation.recalled.insert(seq);
            }
        }
        let mut reactions: HashMap<_, BTreeMap<_, _>> = HashMap::new();
        for (key, at) in own_reactions {
            let of = reactions.entry((key.message, key.user)).or_default();
            of.insert(key.emoji, at);
        }
        let stored = stored
            .into_iter()
            .map(|one| (key(&one.message), one))
            .collect();
        let messages = messages
            .into_iter()
            .map(|one| ((one.conversation_id, one.seq), one))
            .collect();
        Self {
            now,
            conversations,
            stored,
            messages,
            reactions,
            named,
            blocks,
        }
    }
}

/// The key under which a message was sent.
pub(super) fn key(message: &Message) -> Key {
    (
        message.conversation_id,
        message.sender_id,
        message.client_msg_id,
    )
}
