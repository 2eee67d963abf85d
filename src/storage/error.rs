//! What can go wrong with a store, as far as callers can act on it.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as DieselError};

/// A failure of PostgreSQL. Everything not understood is a [`StorageError::Bug`].
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// It does not answer, or not in time. Whether a commit under way took hold is unknown.
    #[error("PostgreSQL is unavailable: {0}")]
    Unavailable(String),
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

/// The result of work on a connection.
pub type StorageResult<T> = Result<T, StorageError>;

/// Diesel names only a few SQLSTATEs; the others are known by their message, which is why the start-up check insists
/// on English messages.
fn by_message(message: &str) -> Option<StorageError> {
    const CONTENDED: [&str; 2] = ["deadlock detected", "lock timeout"];
    const UNAVAILABLE: [&str; 9] = [
        "terminating connection",
        "the database system is",
        "No space left on device",
        // The same, where a part of the pages still had room.
        "could not extend file",
        "could not write",
        "out of memory",
        "too many clients",
        "remaining connection slots",
        "canceling statement",
    ];
    let has = |known: &&str| message.contains(*known);
    if message.starts_with("no partition of relation") {
        Some(StorageError::NoPartition)
    } else if CONTENDED.iter().any(has) {
        Some(StorageError::Contended(message.to_owned()))
    } else if UNAVAILABLE.iter().any(has) {
        Some(StorageError::Unavailable(message.to_owned()))
    } else {
        None
    }
}

/// That of a partition of the archive, which PostgreSQL names after its columns.
fn is_key_of_sends(constraint: &str) -> bool {
    constraint.starts_with("messages_") && constraint.contains("_client_msg_id")
}

fn of_database(kind: &DatabaseErrorKind, info: &dyn DatabaseErrorInformation) -> StorageError {
    let message = info.message();
    match kind {
        DatabaseErrorKind::SerializationFailure => StorageError::Contended(message.to_owned()),
        DatabaseErrorKind::UniqueViolation
            if info.constraint_name().is_some_and(is_key_of_sends) =>
        {
            StorageError::Stored
        }
        DatabaseErrorKind::ClosedConnection
        | DatabaseErrorKind::UnableToSendCommand
        | DatabaseErrorKind::ReadOnlyTransaction => StorageError::Unavailable(message.to_owned()),
        _ => by_message(message).unwrap_or_else(|| StorageError::Bug(message.to_owned())),
    }
}

impl From<DieselError> for StorageError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(kind, info) => of_database(&kind, info.as_ref()),
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
    fn a_disk_with_room_for_half_a_page_is_full() {
        let said = "could not extend file \"base/5/6\": wrote only 4096 of 8192 bytes at block 7";
        assert!(matches!(
            by_message(said),
            Some(StorageError::Unavailable(_))
        ));
    }
}
