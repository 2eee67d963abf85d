//! The errors of the operations of the domain.

use crate::model::rate_limit::QuotaStatus;
use crate::model::resync::Resync;
use crate::model::wire::draft::Draft;
use crate::model::wire::message::Message;
use crate::model::wire::violation::Violation;
use crate::storage::error::StorageError;
use std::time::Duration;

/// When a client may try again that was refused because too many requests waited for PostgreSQL.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A refusal or a failure. The http floor turns each into its documented problem.
#[derive(Clone, Debug)]
pub enum Error {
    /// Invalid input.
    Invalid(Vec<Violation>),
    /// Unknown, or not visible to the caller.
    NotFound,
    /// Visible to the caller, but not allowed.
    Forbidden(&'static str),
    /// The sender may not post for now.
    Muted,
    /// One of the two people blocks the other.
    Blocked,
    /// The privacy settings of the other person do not allow it, or their account is not in use.
    NotAccepted,
    /// The name is taken.
    Conflict(&'static str),
    /// An upload lacks these parts.
    MissingParts(Vec<i32>),
    /// A limit is reached; the text says which.
    LimitReached(&'static str),
    /// The same, until this time has passed.
    LimitReachedFor(&'static str, Duration),
    /// Unknown user, or wrong password.
    InvalidCredentials,
    /// The operator has deactivated the account.
    UserDeactivated,
    /// The access token is missing or invalid.
    Unauthenticated,
    /// The access token was valid and has expired.
    TokenExpired,
    /// The device was logged out.
    DeviceRevoked,
    /// The refresh token is unknown, used or expired.
    RefreshInvalid,
    /// The server keeps no media.
    MediaDisabled,
    /// This node does not search.
    SearchDisabled,
    /// The media are not ready, or were rejected.
    MediaNotReady,
    /// The message is recalled or has expired.
    MessageGone,
    /// The version that the caller has seen is not the present one; with the message as it is now.
    VersionConflict(Box<Message>),
    /// The same for a draft.
    DraftConflict(Box<Draft>),
    /// The time in which a message may be changed so has passed.
    WindowClosed(&'static str),
    /// The cursor is not one of presence of this caller, or is too old.
    PresenceCursorInvalid,
    /// The client_msg_id belongs to another message of this sender in this conversation.
    ClientMsgIdReused,
    /// The client_conversation_id belongs to another group or channel of this creator.
    ClientConversationIdReused,
    /// A position beyond the head.
    CursorAhead(Resync),
    /// A position from another epoch.
    EpochChanged(Resync),
    /// Entries after this position have expired.
    InboxTrimmed(Resync),
    /// Too many requests of one user, address or name.
    RateLimited(QuotaStatus),
    /// The conversation is in slow mode: the sender may send the next message after this time.
    SlowMode(Duration),
    /// Overloaded: nothing was done. Try again after this time.
    Overloaded(Duration),
    /// PostgreSQL did not answer in time. A send may or may not be stored.
    StorageUnavailable,
    /// An unexpected error; the text is for the log only.
    Internal(String),
}

impl Error {
    /// One violation of the input.
    pub fn invalid(pointer: &str, detail: impl AsRef<str>) -> Self {
        Self::Invalid(vec![Violation::new(pointer, detail)])
    }
}

/// Values of our own types always serialize, so a failure is a bug.
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
