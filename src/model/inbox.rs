//! The inbox: the one log of everything a device must learn.

use crate::model::conversation::Conversation;
use crate::model::ids::{ConvSeq, ConversationId, Epoch, InboxSeq};
use crate::model::member::MembersChanged;
use crate::model::message::Message;
use crate::model::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// One entry of an inbox.
#[derive(Debug, Serialize, ToSchema)]
pub struct Entry {
    /// Its place in the inbox: 1, 2, 3 … without a hole.
    pub seq: InboxSeq,
    /// The conversation that it concerns.
    pub conversation_id: ConversationId,
    /// When it was written, by the database's clock.
    pub at: Timestamp,
    /// The conversation's unread count as of this entry.
    #[schema(minimum = 0)]
    pub unread: i64,
    /// What happened.
    #[serde(flatten)]
    #[schema(value_type = Event)]
    pub event: EventOrUnknown,
}

/// What an entry tells. An open set: clients skip kinds they do not know.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// A message was stored, by anyone in the conversation, the reader included.
    Message {
        /// The message as it is now.
        message: Message,
    },
    /// A message names the reader in its `mentions`. In a small conversation the message has an entry of its own as well.
    Mention {
        /// The message as it is now.
        message: Message,
    },
    /// The reader has read up to a message, on this device or another.
    Read {
        /// Read up to here.
        read_seq: ConvSeq,
    },
    /// The conversation is new or has changed, or has become large; null: the reader is out of it.
    Conversation {
        /// The conversation as it is now. Of several entries of one conversation on a page, only the last has its
        /// `last_message`; the others say null.
        #[schema(required = true)]
        conversation: Option<Box<Conversation>>,
    },
    /// Others joined or left the conversation, or roles or mutes changed. (Who joins or leaves learns it from a
    /// `conversation` entry. Of a large conversation this reaches only those whom it concerns and who did it.)
    Members(MembersChanged),
}

/// An event, or what can be told of one that a newer server has written and this one does not know, while the two run
/// side by side: its kind, which clients skip as any other that they do not know.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum EventOrUnknown {
    /// In full.
    Event(Event),
    /// Only what it is.
    Unknown {
        /// The kind.
        kind: String,
    },
}

/// A page of the inbox.
#[derive(Debug, Serialize, ToSchema)]
pub struct InboxPage {
    /// The entries after `since_seq`, in order, without a hole.
    pub entries: Vec<Entry>,
    /// Give it as `since_seq` next time; on an empty page it is the `since_seq` that was asked for.
    pub next_since_seq: InboxSeq,
    /// The head of the inbox.
    pub last_seq: InboxSeq,
    /// There is more after this page.
    pub has_more: bool,
    /// This life of the database.
    pub epoch: Epoch,
}

/// Where a client starts over when its position is of no use: it lists conversations by id, and continues the inbox
/// from the position that the first page names.
#[derive(Clone, Copy, Debug)]
pub struct Resync {
    /// This life of the database.
    pub epoch: Epoch,
    /// The oldest entry that is kept; head + 1 when nothing is.
    pub first_seq: i64,
    /// The head.
    pub last_seq: i64,
}

/// The kinds of entries as the database holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// `ref_seq` is the message's seq in its conversation.
    Message,
    /// `ref_seq` is that of the message, too.
    Mention,
    /// `ref_seq` is the position read up to.
    Read,
    /// `ref_seq` is the conversation's head as of the entry.
    Conversation,
    /// The receiver is out of the conversation; `ref_seq` is the conversation's head as of the entry.
    Left,
    /// `ref_seq` is the number of the change of members.
    Members,
}

impl EntryKind {
    const ALL: [Self; 6] = [
        Self::Message,
        Self::Mention,
        Self::Read,
        Self::Conversation,
        Self::Left,
        Self::Members,
    ];

    /// The kind of this name; nothing for one that a newer node has written.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The name used in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Mention => "mention",
            Self::Read => "read",
            Self::Conversation => "conversation",
            Self::Left => "left",
            Self::Members => "members",
        }
    }
}
