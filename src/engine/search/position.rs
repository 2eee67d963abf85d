//! The order of results.

use crate::model::ids::{ConvSeq, ConversationId};
use crate::model::time::Timestamp;
use crate::model::wire::message::Message;
use uuid::Uuid;

/// The place of a message in the order of results, from the oldest to the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HitPosition {
    /// When the message was stored.
    pub at: Timestamp,
    /// Its conversation.
    pub conversation: ConversationId,
    /// Its seq.
    pub seq: ConvSeq,
}

impl HitPosition {
    /// That of a message.
    pub fn of(message: &Message) -> Self {
        Self {
            at: message.created_at,
            conversation: message.conversation_id,
            seq: message.seq,
        }
    }

    /// Below all messages that were stored at this time or later.
    pub fn before(at: Timestamp) -> Self {
        Self {
            at,
            conversation: ConversationId(Uuid::nil()),
            seq: ConvSeq(0),
        }
    }
}
