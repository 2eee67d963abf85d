//! Unread counts.

use crate::model::ids::{ConvSeq, ConversationId, InboxSeq};
use serde::Serialize;
use utoipa::ToSchema;

/// A conversation with unread messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConversationUnread {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Messages after the caller's read position; at least 1.
    #[schema(minimum = 1)]
    pub unread: i64,
    /// With `mentions`: those of them that name the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0)]
    pub mentions: Option<i64>,
}

/// All unread counts of a user, as of one inbox position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Unread {
    /// The sum of the conversations' counts.
    #[schema(minimum = 0)]
    pub total: i64,
    /// The conversations with unread messages.
    pub conversations: Vec<ConversationUnread>,
    /// With `mentions`: the sum of the mentions of all conversations.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0)]
    pub total_mentions: Option<i64>,
    /// The inbox position that the counts belong to.
    pub as_of_seq: InboxSeq,
}

/// The answer to marking a conversation as read.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReadMark {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The read position, which never moves back.
    pub read_seq: ConvSeq,
    /// Messages after the read position.
    #[schema(minimum = 0)]
    pub unread: i64,
    /// The sum over all of the caller's conversations.
    #[schema(minimum = 0)]
    pub total_unread: i64,
}
