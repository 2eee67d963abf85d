//! A reference to a message.

use crate::model::ids::{ConvSeq, ConversationId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A message of a conversation.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(deny_unknown_fields)]
pub struct MessageRef {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The seq of the message.
    pub seq: ConvSeq,
}
