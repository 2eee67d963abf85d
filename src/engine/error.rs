//! Everything a verb of the domain may answer instead of its result.

use crate::model::rate_limit::QuotaStatus;
use crate::model::resync::Resync;
use crate::model::wire::violation::Violation;
use crate::storage::error::StorageError;
use std::time::Duration;

/// How long a client should stay away that came when too many waited for PostgreSQL.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A refusal or a failure. The http floor turns each into its documented problem.
#[derive(Clone, Debug)]
pub enum Error {
    /// Invalid input.
    Invalid(Vec<Violation>),
    /// Unknown, or not visible to the caller.
    NotFound,
    /// Known, and not allowed.
    Forbidden(&'static str),
    /// The sender may not post for now.
    Muted,
    /// The other person blocks the caller, or the caller them.
    Blocked,
    /// The name is taken.
    Conflict(&'static str),
    /// A limit is reached; the text says which.
    LimitReached(&'static str),
    /// No such user, or another password.
    InvalidCredentials,
    /// No, bad or foreign token.
    Unauthenticated,
    /// The access token was good and has ended.
    TokenExpired,
    /// The device was logged out.
    DeviceRevoked,
    /// The refresh token is unknown, spent or has ended.
    RefreshInvalid,
    /// The client_msg_id belongs to another message of this sender in this conversation.
    ClientMsgIdReused,
    /// The client_conversation_id belongs to another group or channel of this creator.
    ClientConversationIdReused,
    /// A position beyond the head.
    CursorAhead(Resync),
    /// A position from another life of the database.
    EpochChanged(Resync),
    /// Entries after this position are no longer kept.
    InboxTrimmed(Resync),
    /// Too many requests of one user, address or name.
    RateLimited(QuotaStatus),
    /// Overloaded: nothing was done, repeat after this time.
    Overloaded(Duration),
    /// PostgreSQL does not answer in time. A send may or may not be stored.
    StorageUnavailable,
    /// An unexpected error; the text is for the log only.
    Internal(String),
}

impl Error {
    /// One fault of the input.
    pub fn invalid(pointer: &str, detail: impl AsRef<str>) -> Self {
        Self::Invalid(vec![Violation::new(pointer, detail)])
    }
}

/// What this process makes itself can be written as JSON.
impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Busy => Self::Overloaded(RETRY_AFTER),
            StorageError::Unavailable(_)
            | StorageError::Lost(_)
            | StorageError::ReadOnly(_)
            | StorageError::Late
            | StorageError::Contended(_)
            | StorageError::NoPartition => Self::StorageUnavailable,
            StorageError::Stored | StorageError::Bug(_) => Self::Internal(error.to_string()),
        }
    }
}
