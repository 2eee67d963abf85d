//! Messages that are sent later.

use crate::model::ids::{ClientMsgId, ConvSeq, ConversationId};
use crate::model::time::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// The most scheduled messages of a user.
pub const MAX_SCHEDULED: i64 = 100;

/// A message that is sent later. Other members do not see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ScheduledMessage {
    /// The id under which it is sent.
    pub client_msg_id: ClientMsgId,
    /// The conversation.
    pub conversation_id: ConversationId,
    /// When it is sent, by the database's clock.
    pub send_at: Timestamp,
    /// The kind, as of a send.
    pub kind: String,
    /// The content, as of a send.
    #[schema(value_type = Object)]
    pub content: Box<RawValue>,
    /// The message to which it replies.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reply_to: Option<ConvSeq>,
    /// It names everyone in the conversation.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub mention_all: bool,
    /// It expires this number of seconds after its send.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub expires_in: Option<i64>,
}

/// Why a scheduled message was not sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SendFailure {
    /// The code of the problem that a send had got.
    #[schema(example = "blocked")]
    pub code: String,
    /// A sentence for people.
    pub detail: String,
}

/// A scheduled message that was not sent.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ScheduledFailed {
    /// Its id.
    pub client_msg_id: ClientMsgId,
    /// The reason.
    pub problem: SendFailure,
    /// The message as it was scheduled. Null if it failed before the server kept such messages.
    #[schema(required = true, value_type = Option<ScheduledMessage>)]
    pub scheduled: Option<Box<RawValue>>,
}
