//! What an inbox event is, in the database and on the wire.

use crate::model::ids::ConvSeq;
use crate::model::wire::conversation::Conversation;
use crate::model::wire::entry::Event;
use crate::model::wire::member::MembersChanged;
use crate::model::wire::message::Message;

/// What the `ref_seq` of an entry means, and so what a page has to read for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// The seq of a message in its conversation. A page includes the message.
    Message,
    /// The head of the conversation as of the entry. A page includes the conversation as it is now.
    Conversation,
    /// The number of a change of members. A page includes the change.
    MembersChange,
    /// A position in the conversation. A page includes nothing.
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
