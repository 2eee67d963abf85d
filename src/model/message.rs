//! Messages to store.

use crate::model::content::Content;
use crate::model::ids::{ClientMsgId, ConvSeq, UserId};
use crate::model::time::Timestamp;
use crate::model::wire::message_ref::MessageRef;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// The most messages of one batch.
pub const MAX_BATCH: usize = 100;

/// After how many seconds a message may expire.
pub const EXPIRES_IN: RangeInclusive<i64> = 10..=31_536_000;

/// A message to store, parsed and valid.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The sender's id for it: the idempotency key.
    pub client_msg_id: ClientMsgId,
    /// Kind and content; none of a forward, which copies them.
    pub content: Option<Content>,
    /// What it has beside its content.
    pub options: SendOptions,
}

/// What a sender adds to a message beside its content. A replay is compared by it too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendOptions {
    /// The message to which it replies.
    pub reply_to: Option<ConvSeq>,
    /// It names everyone.
    pub mention_all: bool,
    /// It expires this number of seconds after the send, if the conversation does not say earlier.
    pub expires_in: Option<i64>,
    /// The message that it forwards.
    pub forward: Option<MessageRef>,
}

impl NewMessage {
    /// The users that it mentions.
    pub fn mentions(&self) -> &[UserId] {
        self.content.as_ref().map_or(&[], Content::mentions)
    }
}

/// What a stored message has beside its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extra {
    /// The message to which it replies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<ConvSeq>,
    /// The sender of that message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_sender: Option<UserId>,
    /// The first message of the chain of replies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_seq: Option<ConvSeq>,
    /// It names everyone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mention_all: bool,
    /// What the sender asked for. `expires_at` may be earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<i64>,
    /// When it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The message that it forwards. Readers do not see this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<MessageRef>,
    /// The author of the forwarded message, unless the author hides it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward_sender: Option<UserId>,
    /// When the forwarded message was first stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward_created_at: Option<Timestamp>,
}

impl Extra {
    /// Its JSON; nothing for a plain message.
    pub fn to_json(self) -> serde_json::Result<Option<String>> {
        match self == Self::default() {
            true => Ok(None),
            false => serde_json::to_string(&self).map(Some),
        }
    }

    /// What the sender added.
    pub fn options(&self) -> SendOptions {
        SendOptions {
            reply_to: self.reply_to,
            mention_all: self.mention_all,
            expires_in: self.expires_in,
            forward: self.forward,
        }
    }
}
