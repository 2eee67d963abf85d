//! Messages to store.

use crate::model::content::Content;
use crate::model::ids::ClientMsgId;

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
