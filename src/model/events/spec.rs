//! What an inbox event is, in the database and on the wire.

use crate::model::ids::{ConvSeq, UserId};
use crate::model::wire::conversation::Conversation;
use crate::model::wire::draft::Draft;
use crate::model::wire::entry::Event;
use crate::model::wire::member::MembersChanged;
use crate::model::wire::message::Message;
use crate::model::wire::people::contact::{Contact, ContactRequest};
use crate::model::wire::scheduled::ScheduledFailed;
use crate::model::wire::settings::ConversationSettings;

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
    /// The head of the conversation as of the entry. A page includes the reader's settings as they are now.
    Settings,
    /// The head of the conversation as of the entry. A page includes the reader's draft as it is now.
    Draft,
    /// The number of a scheduled message of the reader that was not sent. A page includes the reason.
    ScheduledFailure,
    /// Nothing; the entry is about a person. A page includes the reader's contact as it is now.
    Contact,
    /// Nothing; the entry is about a person. A page includes the request of the reader and the person as it is now.
    ContactRequest,
}

impl Reference {
    /// Whether an entry has the id of a person in place of a conversation's.
    pub fn is_about_person(self) -> bool {
        matches!(self, Self::Contact | Self::ContactRequest)
    }
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
    /// The settings.
    Settings(ConversationSettings),
    /// The draft, if there is one.
    Draft(Option<Draft>),
    /// The reason.
    ScheduledFailure(ScheduledFailed),
    /// The person, and the contact if there is one.
    Contact(UserId, Option<Box<Contact>>),
    /// The person, and the request if there is one.
    ContactRequest(UserId, Option<Box<ContactRequest>>),
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
