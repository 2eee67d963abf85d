//! Errors of PostgreSQL, by what a caller can do about them.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as DieselError};

/// An error of PostgreSQL. Every unknown error is a [`StorageError::Bug`].
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// PostgreSQL does not answer, or cannot run the statement now. The outcome of a commit in progress is unknown.
    #[error("PostgreSQL is unavailable: {0}")]
    Unavailable(String),
    /// The connection was lost. The outcome of a commit in progress is unknown.
    #[error("the connection to PostgreSQL was lost: {0}")]
    Lost(String),
    /// The server accepts no writes, as a standby does: the transaction did nothing.
    #[error("PostgreSQL accepts no writes: {0}")]
    ReadOnly(String),
    /// The caller's deadline has passed. A transaction that had not begun to commit did nothing.
    #[error("PostgreSQL did not answer before the deadline")]
    Late,
    /// A deadlock, a serialization failure or a lock timeout: the transaction did nothing and can be tried again.
    #[error("PostgreSQL aborted the transaction for contention: {0}")]
    Contended(String),
    /// A message with the same key is in the archive: the transaction did nothing.
    #[error("the message is already stored")]
    Stored,
    /// The inbox has no partition for the time of the row: partitions have to be made.
    #[error("the inbox has no partition for the current time")]
    NoPartition,
    /// Too many callers wait for a connection: nothing was tried.
    #[error("too many callers wait for a connection")]
    Busy,
    /// A statement failed that should never fail.
    #[error("unexpected PostgreSQL error: {0}")]
    Bug(String),
}

impl StorageError {
    /// A try on another connection, or another server, may succeed.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Lost(_) | Self::ReadOnly(_) => true,
            Self::Late
            | Self::Contended(_)
            | Self::Stored
            | Self::NoPartition
            | Self::Busy
            | Self::Bug(_) => false,
        }
    }
}

/// The result of work on a connection.
pub type StorageResult<T> = Result<T, StorageError>;

/// Diesel names only a few SQLSTATEs. The other errors are recognized by their message, so the start-up check requires
/// English messages.
// FIXME(diesel#5232): match on the SQLSTATE as soon as a release of Diesel has it (2.3.14 has not).
fn by_message(message: &str) -> Option<StorageError> {
    const CONTENDED: [&str; 2] = ["deadlock detected", "lock timeout"];
    // By the server before it ends, and by libpq afterwards.
    const LOST: [&str; 5] = [
        "terminating connection",
        "server closed the connection",
        "could not receive data from server",
        "could not send data to server",
        "no connection to the server",
    ];
    const UNAVAILABLE: [&str; 9] = [
        "the database system is",
        "No space left on device",
        // A full disk on which some of the pages still fitted.
        "could not extend file",
        "could not write",
        // 53200: memory of one process, and shared memory such as the lock table.
        "out of memory",
        "out of shared memory",
        "too many clients",
        "remaining connection slots",
        "canceling statement",
    ];
    let has = |known: &&str| message.contains(*known);
    if message.starts_with("no partition of relation") {
        Some(StorageError::NoPartition)
    } else if CONTENDED.iter().any(has) {
        Some(StorageError::Contended(message.to_owned()))
    } else if LOST.iter().any(has) {
        Some(StorageError::Lost(message.to_owned()))
    } else if UNAVAILABLE.iter().any(has) {
        Some(StorageError::Unavailable(message.to_owned()))
    } else {
        None
    }
}

/// Whether this is the unique key of sends in a partition of the archive. PostgreSQL names it after its columns.
// FIXME(diesel#5232): the SQLSTATE alone does not name the key; a migration should name the constraint.
fn is_send_key(constraint: &str) -> bool {
    constraint.starts_with("messages_") && constraint.contains("_client_msg_id")
}

fn from_database(kind: &DatabaseErrorKind, info: &dyn DatabaseErrorInformation) -> StorageError {
    let message = info.message();
    match kind {
        DatabaseErrorKind::SerializationFailure => StorageError::Contended(message.to_owned()),
        DatabaseErrorKind::UniqueViolation if info.constraint_name().is_some_and(is_send_key) => {
            StorageError::Stored
        }
        DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => {
            StorageError::Lost(message.to_owned())
        }
        DatabaseErrorKind::ReadOnlyTransaction => StorageError::ReadOnly(message.to_owned()),
        _ => by_message(message).unwrap_or_else(|| StorageError::Bug(message.to_owned())),
    }
}

impl From<DieselError> for StorageError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(kind, info) => from_database(&kind, info.as_ref()),
            DieselError::BrokenTransactionManager => {
                Self::Unavailable("the connection failed inside a transaction".to_owned())
            }
            DieselError::RollbackErrorOnCommit {
                rollback_error,
                commit_error,
            } => match Self::from(*commit_error) {
                Self::Bug(why) => Self::Unavailable(format!("{why}; rollback: {rollback_error}")),
                known => known,
            },
            other => Self::Bug(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{StorageError, by_message};

    #[test]
    fn ended_server_is_a_lost_connection() {
        let message = "server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally";
        assert!(matches!(by_message(message), Some(StorageError::Lost(_))));
    }

    #[test]
    fn out_of_disk_or_memory_is_unavailable() {
        for message in [
            "could not extend file \"base/5/6\": wrote only 4096 of 8192 bytes at block 7",
            "out of memory",
            "out of shared memory",
        ] {
            let error = by_message(message);
            assert!(
                matches!(error, Some(StorageError::Unavailable(_))),
                "{message}"
            );
        }
    }
}
