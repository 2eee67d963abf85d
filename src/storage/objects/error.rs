//! Errors of the media store.

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// There is no such object.
    #[error("the media store has no such object")]
    Missing,
    /// The store does not answer, or cannot do it now.
    #[error("the media store is unavailable: {0}")]
    Unavailable(String),
}

impl From<object_store::Error> for ObjectError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Missing,
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// The result of an operation on the store.
pub type ObjectResult<T> = Result<T, ObjectError>;
