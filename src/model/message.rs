//! Messages to store.

use crate::model::content::Content;
use crate::model::ids::{ClientMsgId, ConvSeq, UserId};
use serde::{Deserialize, Serialize};

/// The most messages of one batch.
pub const MAX_BATCH: usize = 100;

/// A message to store, parsed and valid.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The sender's id for it: the idempotency key.
    pub client_msg_id: ClientMsgId,
    /// Kind and content.
    pub content: Content,
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
        }
    }
}
