//! A member's own settings of a conversation.

use crate::model::ids::ConvSeq;
use crate::model::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The most conversations that a user can pin.
pub const MAX_PINNED: i64 = 50;

/// The caller's own settings of a conversation. Other members do not see them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConversationSettings {
    /// Of which messages the caller's devices notify; null: of those that the caller's own default says.
    #[schema(required = true)]
    pub notify: Option<Notify>,
    /// The conversation is pinned to the top of the caller's list. At most 50 are.
    pub pinned: bool,
    /// The conversation is in the caller's archive. A new message leaves it there.
    pub archived: bool,
    /// The conversation is hidden from the caller's list while `last_seq` is not above this seq: the next message brings it back. Null:
    /// not hidden.
    #[schema(required = true)]
    pub hidden_through: Option<ConvSeq>,
    /// The caller's own name for the conversation.
    #[schema(required = true)]
    pub nickname: Option<String>,
}

/// Of which messages devices notify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// The messages.
    pub level: NotifyLevel,
    /// The level holds until this time, and after it the caller's own default does. Null: without an end.
    pub until: Option<Timestamp>,
}

/// A set of messages of which devices notify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotifyLevel {
    /// All messages.
    All,
    /// Messages that mention the caller.
    Mentions,
    /// No message.
    None,
}

impl NotifyLevel {
    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Mentions => "mentions",
            Self::None => "none",
        }
    }

    /// The level with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::All, Self::Mentions, Self::None]
            .into_iter()
            .find(|level| level.as_str() == name)
    }
}
