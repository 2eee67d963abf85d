//! The inbox: the one log of everything a device must learn.

use crate::model::events::spec::Event;
use crate::model::ids::{ConversationId, Epoch, InboxSeq};
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
