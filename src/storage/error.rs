//! What can go wrong with a store, as far as callers can act on it.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as DieselError};

/// A failure of PostgreSQL. Everything not understood is a [`StorageError::Bug`].
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// It does not answer, or cannot do it now. Whether a commit under way took hold is unknown.
    #[error("PostgreSQL is unavailable: {0}")]
    Unavailable(String),
    /// The connection was lost. Whether a commit under way took hold is unknown.
    #[error("the connection to PostgreSQL was lost: {0}")]
    Lost(String),
    /// It takes no writes, as a standby: the transaction did nothing.
    #[error("PostgreSQL takes no writes: {0}")]
    ReadOnly(String),
    /// The caller waits no longer. What had not begun to commit did nothing.
    #[error("PostgreSQL gave no answer in time")]
    Late,
    /// A deadlock, a serialisation failure or a lock not granted in time: the transaction did nothing, try again.
    #[error("PostgreSQL refused for contention: {0}")]
    Contended(String),
    /// A message with its key is in the archive: the transaction did nothing.
    #[error("the message is stored already")]
    Stored,
    /// The inbox has no partition for the time of the row: the upkeep has to run.
    #[error("the inbox has no partition for now")]
    NoPartition,
    /// Too many wait for a connection: nothing was tried.
    #[error("too many wait for a connection")]
    Busy,
    /// A statement that should never fail did.
    #[error("unexpected PostgreSQL error: {0}")]
    Bug(String),
}

impl StorageError {
    /// Another connection, or another server, may do better.
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

/// Diesel names only a few SQLSTATEs; the others are known by their message, which is why the start-up check insists
/// on English messages.
// FIXME(diesel#5232): match on the SQLSTATE as soon as a release of Diesel has it (2.3.14 has not).
fn by_message(message: &str) -> Option<StorageError> {
    const CONTENDED: [&str; 2] = ["deadlock detected", "lock timeout"];
    const LOST: &str = "terminating connection";
    const UNAVAILABLE: [&str; 9] = [
        "the database system is",
        "No space left on device",
        // The same, where a part of the pages still had room.
        "could not extend file",
        "could not write",
        // 53200: the first is of a process, the second of what all of them share, such as the table of locks.
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
    } else if message.contains(LOST) {
        Some(StorageError::Lost(message.to_owned()))
    } else if UNAVAILABLE.iter().any(has) {
        Some(StorageError::Unavailable(message.to_owned()))
    } else {
        None
    }
}

/// That of a partition of the archive, which PostgreSQL names after its columns.
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
                Self::Unavailable("the connection broke inside a transaction".to_owned())
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
    fn a_disk_or_a_memory_that_is_full_is_unavailable() {
        for said in [
            "could not extend file \"base/5/6\": wrote only 4096 of 8192 bytes at block 7",
            "out of memory",
            "out of shared memory",
        ] {
            let error = by_message(said);
            assert!(
                matches!(error, Some(StorageError::Unavailable(_))),
                "{said}"
            );
        }
    }
}
