//! Reactions to messages.

use crate::model::ids::{ChangeSeq, ConvSeq, UserId};
use crate::model::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The most different emojis on a message.
pub const MAX_EMOJIS: usize = 20;

/// The most reactions of a user to a message.
pub const MAX_PER_USER: usize = 5;

/// The number of users with one reaction to a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReactionCount {
    /// The emoji.
    #[schema(example = "👍")]
    pub emoji: String,
    /// The number of users.
    #[schema(minimum = 1)]
    pub count: i64,
    /// The reader is one of them.
    #[serde(default)]
    pub me: bool,
}

/// A reaction of a user to a message.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Reaction {
    /// The user.
    pub user_id: UserId,
    /// The emoji.
    #[schema(example = "👍")]
    pub emoji: String,
    /// When, by the database's clock.
    pub at: Timestamp,
}

/// The reactions to a message after a change of them.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MessageReactions {
    /// The seq of the message.
    pub seq: ConvSeq,
    /// The number of the last change of the message; 0 if it has never changed.
    pub change_seq: ChangeSeq,
    /// The counts, in the order of first use.
    pub reactions: Vec<ReactionCount>,
}
