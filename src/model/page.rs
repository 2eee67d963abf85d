//! Ranges of timelines: how much, and from where.

use crate::model::violation::Violation;

/// How many entries a page may have at most: 1 to [`Limit::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(i64);

impl Limit {
    /// The largest page.
    pub const MAX: i64 = 500;
    /// The page size when none is asked for.
    pub const DEFAULT: Self = Self(100);

    /// A limit as asked for.
    pub fn parse(value: i64) -> Result<Self, Violation> {
        if (1..=Self::MAX).contains(&value) {
            Ok(Self(value))
        } else {
            Err(Violation::new(
                "limit",
                format!("must be 1 to {}", Self::MAX),
            ))
        }
    }

    /// The number of entries.
    pub fn get(self) -> i64 {
        self.0
    }
}

/// A range of a conversation's timeline, always answered in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range<S> {
    /// The entries after this seq, oldest first.
    Since(S),
    /// The entries just below this seq.
    Before(S),
    /// The newest page.
    Newest,
}

/// About how many bytes of content one page may carry. A page always has at least one entry, however large.
pub const PAGE_BYTES: i64 = 1024 * 1024;
