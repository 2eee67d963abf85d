//! Messages: new ones and stored ones.

use crate::model::ids::{ClientMsgId, ConvSeq, ConversationId, MessageId, UserId};
use crate::model::time::Timestamp;
use crate::model::wire::content::{StoredBody, TypedContent};
use serde::Serialize;
use utoipa::ToSchema;

/// A stored message: a `oneOf` by `kind`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Message {
    /// The message's id, unique over all conversations (UUIDv7).
    pub id: MessageId,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// Its position in the conversation: 1, 2, 3 … without gaps.
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
