//! What an inbox event is, in the database and on the wire.

use crate::model::conversation::Conversation;
use crate::model::ids::ConvSeq;
use crate::model::member::MembersChanged;
use crate::model::message::Message;
use serde::Serialize;
use utoipa::ToSchema;

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

/// What the `ref_seq` of an entry means, and so what a page has to read for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// The seq of a message in its conversation. A page brings the message.
    Message,
    /// The head of the conversation as of the entry. A page brings the conversation as it is now.
    Conversation,
    /// The number of a change of members. A page brings the change.
    MembersChange,
    /// A position in the conversation. A page brings nothing.
    Position,
}

/// What a page has read for an entry.
#[derive(Debug)]
pub enum Referenced {
    /// The message.
    Message(Message),
    /// The conversation; nothing when the reader is not in it any more.
    Conversation(Option<Box<Conversation>>),
    /// The change.
    MembersChange(MembersChanged),
    /// The position.
    Position(ConvSeq),
}

/// An inbox event: a row of the table `events::EVENTS`.
#[derive(Debug)]
pub struct EventSpec {
    /// Its name in the database.
    pub name: &'static str,
    /// Its `kind` on the wire.
    pub kind: &'static str,
    /// What its `ref_seq` means.
    pub reference: Reference,
    /// Its form on the wire; nothing when the reference is of another kind.
    pub wire: fn(Referenced) -> Option<Event>,
}
