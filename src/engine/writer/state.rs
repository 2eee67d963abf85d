//! The state of a batch under its locks, and the plan of its writes.

use crate::engine::error::Error;
use crate::model::ids::{ChangeSeq, ConvSeq, ConversationId, MediaId, UserId};
use crate::model::moved::{Moved, MovedChange};
use crate::model::time::Timestamp;
use crate::model::wire::message::Message;
use crate::model::wire::message_ref::MessageRef;
use crate::storage::pg::RowHandle;
use crate::storage::pg::media::references::MediaReference;
use crate::storage::pg::media::rows::StoredMedia;
use crate::storage::pg::messaging::archive::{
    Changes, ConversationHead, Key, MemberRow, MessageKey, Presence, StoredSend,
};
use crate::storage::pg::messaging::conversations::LockedConversation;
use crate::storage::pg::messaging::mentions::MentionChanges;
use crate::storage::pg::messaging::reactions::ReactionKey;
use crate::storage::pg::messaging::states::StateChanges;
use crate::storage::pg::people::blocks::Block;
use crate::storage::pg::search::blocks;
use crate::storage::pg::sync::inbox::NewEntry;
use chrono::TimeDelta;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

/// The writes of a batch.
#[derive(Default)]
pub struct Plan {
    pub(super) changes: Changes,
    pub(super) states: StateChanges,
    pub(super) mentions: MentionChanges,
    pub(super) entries: Vec<NewEntry>,
    /// Messages that expire, and when.
    pub(super) expiring: Vec<(MessageKey, Timestamp)>,
    /// The media of new messages.
    pub(super) media: Vec<MediaReference>,
    /// Messages whose content is erased, and with it what they refer to.
    pub(super) without_media: Vec<MessageKey>,
    /// Histories that members have cleared, each up to a message.
    pub(super) cleared: Vec<(UserId, MessageKey)>,
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

    /// Conversations with a new full block of the search, or with a changed one.
    pub(super) fn to_index(&self) -> Vec<ConversationId> {
        let new = &self.changes.messages;
        let new = new.conversations.iter().zip(&new.seqs);
        let full = new
            .filter(|(_, seq)| blocks::is_last(**seq))
            .map(|(id, _)| *id);
        full.chain(self.states.rewritten.iter().map(|(id, _)| *id))
            .collect()
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
    /// Messages expire this number of seconds after their send.
    pub(super) ttl_seconds: Option<i64>,
    pub(super) member_count: usize,
    /// All messages up to this one are gone, and count as read.
    pub(super) floor_seq: ConvSeq,
    /// Its order in lists: the time of its newest message, or of a change of its title or members.
    pub(super) updated_at: Timestamp,
    /// The time of a message that is stored now.
    pub(super) at: Timestamp,
    /// Recalled messages after the positions from which this batch slides.
    pub(super) recalled: BTreeSet<ConvSeq>,
    /// It is direct, and one of the two people blocks the other.
    pub(super) blocked: bool,
    pub(super) leads_post: bool,
    /// The least time between two messages of a member other than the owner and the admins, if there is one.
    pub(super) slow: Option<Duration>,
    /// The times of the newest messages of senders, if there is one.
    pub(super) sent: HashMap<UserId, Timestamp>,
    /// Only the owner and the admins pin messages.
    pub(super) leads_pin: bool,
    /// The number of pinned messages, if a command pins one.
    pub(super) pins: usize,
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

    /// In slow mode: how long a member still has to wait for the next message.
    pub(super) fn too_soon(&self, sender: UserId) -> Option<Duration> {
        let slow = TimeDelta::from_std(self.slow?).ok()?;
        let left = (self.sent.get(&sender)?.0 + slow - self.at.0)
            .to_std()
            .ok()?;
        Some(left).filter(|left| !left.is_zero())
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
    pub(super) own_reactions: Vec<ReactionKey>,
    pub(super) named: HashMap<MessageKey, BTreeSet<UserId>>,
    pub(super) blocks: HashSet<Block>,
    pub(super) forwarded: HashMap<(UserId, MessageRef), Presence>,
    pub(super) pins: Vec<(ConversationId, i64)>,
    pub(super) sent: Vec<Message>,
    pub(super) media: Vec<StoredMedia>,
}

/// The locked state of a batch, as of its beginning.
pub struct State {
    pub(super) now: Option<Timestamp>,
    pub(super) conversations: HashMap<ConversationId, ConversationState>,
    pub(super) stored: HashMap<Key, StoredSend>,
    /// The messages that the batch changes.
    pub(super) messages: HashMap<MessageKey, Message>,
    /// The reactions of callers to the messages to which they react.
    pub(super) reactions: HashMap<(MessageKey, UserId), BTreeSet<String>>,
    /// The users that the changed messages have ever named.
    pub(super) named: HashMap<MessageKey, BTreeSet<UserId>>,
    /// Blocks of mentioned users against the senders.
    pub(super) blocks: HashSet<Block>,
    /// The messages of other conversations that callers copy, as far as they still see them.
    pub(super) forwarded: HashMap<(UserId, MessageRef), Presence>,
    /// The media that new messages refer to.
    pub(super) media: HashMap<MediaId, StoredMedia>,
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
            forwarded,
            pins,
            sent,
            media,
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
                    ttl_seconds: one.ttl_seconds,
                    floor_seq: one.floor_seq,
                    member_count: usize::try_from(one.member_count).unwrap_or(0),
                    updated_at: one.updated_at,
                    recalled: BTreeSet::new(),
                    // If the clock was set back, a message still gets no earlier time than the one before it.
                    at: now.map_or(one.updated_at, |now| now.max(one.updated_at)),
                    blocked: one.blocked,
                    leads_post: one.leads_post,
                    slow: slow(&one),
                    sent: HashMap::new(),
                    leads_pin: one.leads_pin,
                    pins: 0,
                    large: one.read_fanout_from_seq.is_some(),
                    members: Vec::new(),
                };
                (one.id, conversation)
            })
            .collect();
        for mut member in members {
            if let Some(conversation) = conversations.get_mut(&member.conversation) {
                member.read_seq = member.read_seq.max(conversation.floor_seq);
                conversation.members.push(member);
            }
        }
        for (id, seq) in recalled {
            if let Some(conversation) = conversations.get_mut(&id) {
                conversation.recalled.insert(seq);
            }
        }
        for message in sent {
            if let Some(conversation) = conversations.get_mut(&message.conversation_id) {
                conversation
                    .sent
                    .insert(message.sender_id, message.created_at);
            }
        }
        for (id, count) in pins {
            if let Some(conversation) = conversations.get_mut(&id) {
                conversation.pins = usize::try_from(count).unwrap_or(0);
            }
        }
        let mut reactions: HashMap<_, BTreeSet<_>> = HashMap::new();
        for key in own_reactions {
            let of = reactions.entry((key.message, key.user)).or_default();
            of.insert(key.emoji);
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
            forwarded,
            media: media.into_iter().map(|one| (one.media.id, one)).collect(),
        }
    }
}

/// The least time between two messages of a member, in slow mode.
pub(super) fn slow(conversation: &LockedConversation) -> Option<Duration> {
    let seconds = u64::try_from(conversation.slow_seconds).unwrap_or(0);
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

/// The key under which a message was sent.
pub(super) fn key(message: &Message) -> Key {
    (
        message.conversation_id,
        message.sender_id,
        message.client_msg_id,
    )
}
