//! What is wrong with an input, and where.

use serde::Serialize;
use serde_path_to_error::Segment;
use utoipa::ToSchema;

/// One fault of an input: where it is (an RFC 6901 pointer into the body, or the name of a parameter) and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Violation {
    /// JSON pointer into the body (`/content/text`), or the name of the query or path parameter.
    #[schema(example = "/content/text")]
    pub pointer: String,
    /// What is wrong, in a sentence for people.
    #[schema(example = "must be 1 to 16384 bytes long")]
    pub detail: String,
}

impl Violation {
    /// A fault at a place.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            detail: detail.into(),
        }
    }

    /// What serde refuses, its path turned into an RFC 6901 pointer below `prefix`.
    pub fn from_serde<E: std::fmt::Display>(
        prefix: &str,
        error: &serde_path_to_error::Error<E>,
    ) -> Self {
        let steps = error.path().iter().filter_map(|step| match step {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            // The variant of an enum is told by its tag, and has no place of its own.
            Segment::Enum { .. } | Segment::Unknown => None,
        });
        let pointer = steps.fold(prefix.to_owned(), |pointer, step| pointer + &step);
        Self::new(pointer, error.inner().to_string())
    }

    /// The faults that a garde report lists, their paths turned into pointers below `prefix`.
    pub fn from_report(prefix: &str, report: &garde::Report) -> Vec<Self> {
        report
            .iter()
            .map(|(path, error)| {
                let path = path.to_string().replace(['.', '['], "/").replace(']', "");
                let pointer = if path.is_empty() {
                    prefix.to_owned()
                } else {
                    format!("{prefix}/{path}")
                };
                Self::new(pointer, error.message())
            })
            .collect()
    }
}
