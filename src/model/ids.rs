//! A newtype for each id and each seq, so that code that mixes them up does not compile.

use crate::model::wire::violation::Violation;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use utoipa::ToSchema;
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta] $name:ident),* $(,)?) => {$(
        #[$doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = Uuid)]
        pub struct $name(pub Uuid);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <Cow<'_, str>>::deserialize(deserializer)?;
                Uuid::try_parse(&text)
                    .map(Self)
                    .map_err(|_not_a_uuid| D::Error::custom("must be a UUID"))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

id! {
    /// A person, a bot or another system.
    UserId,
    /// One installation of one user.
    DeviceId,
    /// A conversation; also the key of its timeline in the archive.
    ConversationId,
    /// A stored message.
    MessageId,
    /// A sender's id for a message: the idempotency key.
    ClientMsgId,
    /// A creator's id for a group: the idempotency key.
    ClientConversationId,
    /// A picture, video or file that the server keeps.
    MediaId,
    /// A creator's id for a desk: the idempotency key.
    ClientDeskId,
    /// An owner's id for an upload: the idempotency key.
    ClientMediaId,
    /// The id of the data. It changes after a restore from a backup.
    Epoch,
}

impl ConversationId {
    /// The nil UUID, of entries that concern no conversation.
    pub const NONE: Self = Self(Uuid::nil());
}

/// The largest seq of the contract: 2^53 − 1, the largest integer that every JSON parser keeps exact.
pub const MAX_SEQ: i64 = (1 << 53) - 1;

macro_rules! seq {
    ($(#[$doc:meta] $name:ident),* $(,)?) => {$(
        #[$doc]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = i64, minimum = 0, maximum = 9007199254740991i64)]
        pub struct $name(pub i64);

        impl $name {
            /// Parses a seq from a client: 0 to [`MAX_SEQ`].
            pub fn parse(pointer: &str, value: i64) -> Result<Self, Violation> {
                if (0..=MAX_SEQ).contains(&value) {
                    Ok(Self(value))
                } else {
                    Err(Violation::new(pointer, format!("must be 0 to {MAX_SEQ}")))
                }
            }

            /// The seq right after this one.
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

seq! {
    /// A position in a conversation's timeline; 0 is before the first message.
    ConvSeq,
    /// A position in a user's inbox; 0 is before the first entry.
    InboxSeq,
    /// The number of a change of a conversation's messages; 0 is before the first change.
    ChangeSeq,
}

/// The pair of two users, the lower id first.
pub fn pair(one: UserId, other: UserId) -> (UserId, UserId) {
    (one.min(other), one.max(other))
}
