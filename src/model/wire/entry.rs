//! The inbox: the one log of everything a device must learn.

use crate::model::ids::{ConvSeq, ConversationId, Epoch, InboxSeq, UserId};
use crate::model::time::Timestamp;
use crate::model::wire::conversation::Conversation;
use crate::model::wire::draft::Draft;
use crate::model::wire::member::MembersChanged;
use crate::model::wire::message::Message;
use crate::model::wire::people::contact::{Contact, ContactRequest};
use crate::model::wire::scheduled::ScheduledFailed;
use crate::model::wire::settings::ConversationSettings;
use serde::Serialize;
use utoipa::ToSchema;

/// One entry of an inbox.
#[derive(Debug, Serialize, ToSchema)]
pub struct Entry {
    /// Its place in the inbox: 1, 2, 3 … without gaps.
    pub seq: InboxSeq,
    /// The conversation that it concerns; the nil UUID if it concerns none.
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

/// The event of an entry. An open set: clients skip kinds they do not know.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// A message was stored, by anyone in the conversation, the reader included.
    Message {
        /// The message as it is now.
        message: Message,
    },
    /// A message names the reader: in its `mentions`, by `mention_all` in a small conversation, or because it replies to a message of
    /// the reader. In a small conversation the message has an entry of its own as well.
    Mention {
        /// The message as it is now.
        message: Message,
    },
    /// A message was edited. If it was recalled since, its content is gone.
    Edit {
        /// The message as it is now.
        message: Message,
    },
    /// A message was recalled: its content is gone.
    Recall {
        /// What is left of the message.
        message: Message,
    },
    /// The reactions to a message have changed. In a small group with few members every member gets this entry. Otherwise the user
    /// who reacts gets it, and the author at most one a minute for each message.
    Reaction {
        /// The message as it is now.
        message: Message,
    },
    /// A message was pinned, or is no longer pinned.
    Pin {
        /// The message as it is now.
        message: Message,
    },
    /// The reader has read up to a message, or has marked the conversation as unread, on this device or another.
    Read {
        /// Read up to here.
        read_seq: ConvSeq,
        /// The conversation is marked as unread.
        marked_unread: bool,
    },
    /// The conversation is new or has changed, or has become large; null: the user is no longer a member.
    Conversation {
        /// The conversation as it is now. Of several entries of one conversation on a page, only the last has its
        /// `last_message`; the others say null.
        #[schema(required = true)]
        conversation: Option<Box<Conversation>>,
    },
    /// Others joined or left the conversation, or roles or mutes changed. A user who joins or leaves gets
    /// a `conversation` entry instead. In a large conversation only the affected members and the actor get this entry.
    Members(MembersChanged),
    /// The reader has changed the settings of the conversation, on this device or another.
    Settings {
        /// The settings as they are now.
        settings: ConversationSettings,
    },
    /// The reader has stored or deleted a draft in the conversation, on this device or another.
    Draft {
        /// The draft as it is now. Null: there is none.
        #[schema(required = true)]
        draft: Option<Draft>,
    },
    /// The reader has cleared the history, on this device or another. The messages count as read.
    Cleared {
        /// Messages up to this seq are no longer visible.
        cleared_seq: ConvSeq,
    },
    /// The reader has hidden a message, on this device or another.
    Hidden {
        /// The seq of the message in the conversation.
        hidden_seq: ConvSeq,
    },
    /// The profile, the status, the privacy settings or the blocks of the reader have changed, on this device or another: read
    /// `/v1/me`. The `conversation_id` of the entry is the nil UUID.
    Me {},
    /// The reader has added, changed or removed a contact, on this device or another; or the two have become friends, or are no longer.
    /// The `conversation_id` of the entry is the nil UUID.
    Contact {
        /// The person.
        user_id: UserId,
        /// The contact as it is now. Null: the person is not on the list.
        #[schema(required = true)]
        contact: Option<Box<Contact>>,
    },
    /// A request to become friends was made, or has ended other than by its acceptance. The `conversation_id` of the entry is the nil
    /// UUID.
    ContactRequest {
        /// The other person.
        user_id: UserId,
        /// The request as it is now. Null: there is none.
        #[schema(required = true)]
        request: Option<Box<ContactRequest>>,
    },
    /// A scheduled message of the reader could not be sent. If the reader is no longer a member of its conversation, the
    /// `conversation_id` of the entry is the nil UUID.
    ScheduledFailed(ScheduledFailed),
}

/// An event, or the kind of an event that a newer server has written while both run side by side. Clients skip unknown kinds.
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
    /// The entries after `since_seq`, in order, without gaps.
    pub entries: Vec<Entry>,
    /// Send it as `since_seq` in the next request. On an empty page it equals the `since_seq` of this request.
    pub next_since_seq: InboxSeq,
    /// The head of the inbox.
    pub last_seq: InboxSeq,
    /// There is more after this page.
    pub has_more: bool,
    /// The current epoch.
    pub epoch: Epoch,
}
