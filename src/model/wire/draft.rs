//! Drafts of messages.

use crate::model::ids::{ConvSeq, ConversationId};
use crate::model::time::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// The largest content of a draft, in bytes of JSON.
pub const DRAFT_BYTES: usize = 16 * 1024;

/// The message that the caller is writing in a conversation. Other members do not see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Draft {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// How often a draft was stored in this conversation. A deletion does not change it.
    #[schema(minimum = 0)]
    pub version: i64,
    /// As it was stored. Null: there is no draft, because it was deleted, or because the caller has sent a message above `after_seq`.
    #[schema(value_type = Option<Object>, required = true)]
    pub content: Option<Box<RawValue>>,
    /// The latest seq that the device knew. A draft is void when the caller has sent a message above it.
    pub after_seq: ConvSeq,
    /// When it was stored, by the database's clock. Null: never.
    #[schema(required = true)]
    pub at: Option<Timestamp>,
}

impl Draft {
    /// The draft of a conversation before the first one.
    pub fn none(conversation_id: ConversationId) -> Self {
        Self {
            conversation_id,
            version: 0,
            content: None,
            after_seq: ConvSeq(0),
            at: None,
        }
    }

    /// The draft for a user whose newest message is `sent_seq`: without content if it is void.
    #[must_use]
    pub fn unless_sent(mut self, sent_seq: ConvSeq) -> Self {
        if sent_seq > self.after_seq {
            self.content = None;
        }
        self
    }
}
