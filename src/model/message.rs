//! Messages: as they come in, as they are stored, as they go out.

use crate::model::content::{Content, StoredBody, TypedContent};
use crate::model::ids::{ClientMsgId, ConvSeq, ConversationId, MessageId, UserId};
use crate::model::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// The most messages of one batch.
pub const MAX_BATCH: usize = 100;

/// A message that a sender asks to store: parsed, so nothing about it can be wrong any more.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The sender's own id: the key of its idempotency.
    pub client_msg_id: ClientMsgId,
    /// Kind and content.
    pub content: Content,
}

/// A stored message: a `oneOf` by `kind`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Message {
    /// The message's id, unique over all conversations (UUIDv7).
    pub id: MessageId,
    /// The conversation it belongs to.
    pub conversation_id: ConversationId,
    /// Its place in the conversation: 1, 2, 3 … without a hole.
    pub seq: ConvSeq,
    /// Who sent it.
    pub sender_id: UserId,
    /// The sender's own id of it, in lower case: compare it as a UUID.
    pub client_msg_id: ClientMsgId,
    /// Kind and content.
    #[serde(flatten)]
    #[schema(value_type = TypedContent)]
    pub body: StoredBody,
    /// When it was stored, by the database's clock.
    pub created_at: Timestamp,
}
