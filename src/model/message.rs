//! Messages: new ones and stored ones.

use crate::model::content::{Content, StoredBody, TypedContent};
use crate::model::ids::{ClientMsgId, ConvSeq, ConversationId, MessageId, UserId};
use crate::model::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// The most messages of one batch.
pub const MAX_BATCH: usize = 100;

/// A message to store, parsed and valid.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The sender's id for it: the idempotency key.
    pub client_msg_id: ClientMsgId,
    /// Kind and content.
    pub content: Content,
}

/// A stored message: a `oneOf` by `kind`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Message {
    /// The message's id, unique over all conversations (UUIDv7).
    pub id: MessageId,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// Its position in the conversation: 1, 2, 3 … without a hole.
    pub seq: ConvSeq,
    /// The sender.
    pub sender_id: UserId,
    /// The sender's id for it, in lower case: compare it as a UUID.
    pub client_msg_id: ClientMsgId,
    /// Kind and content.
    #[serde(flatten)]
    #[schema(value_type = TypedContent)]
    pub body: StoredBody,
    /// When it was stored, by the database's clock.
    pub created_at: Timestamp,
}
