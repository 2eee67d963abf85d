//! Ranges of timelines: how much, and from where.

use crate::model::ids::UserId;
use crate::model::violation::Violation;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

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

/// A page of a listing.
#[derive(Debug)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next page begins; nothing on the last one.
    pub next_cursor: Option<String>,
}

/// Where the next page of a listing of people begins.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserCursor {
    /// The last one of the page before.
    pub after: UserId,
}

/// A position in a listing as clients carry it: opaque, and fit for a URL.
pub fn to_cursor(position: &impl Serialize) -> serde_json::Result<String> {
    Ok(BASE64.encode(serde_json::to_vec(position)?))
}

/// The position of a cursor.
pub fn from_cursor<T: DeserializeOwned>(cursor: &str) -> Result<T, Violation> {
    let json = BASE64.decode(cursor).ok();
    json.and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or_else(|| Violation::new("cursor", "is not a cursor of this listing"))
}

/// A page of a listing of people, with the cursor of the next one.
pub fn by_user<T>(
    items: Vec<T>,
    limit: Limit,
    id: fn(&T) -> UserId,
) -> serde_json::Result<Page<T>> {
    let full = i64::try_from(items.len()).is_ok_and(|len| len == limit.get());
    let last = items.last().filter(|_| full);
    let next_cursor = last
        .map(|last| to_cursor(&UserCursor { after: id(last) }))
        .transpose()?;
    Ok(Page { items, next_cursor })
}
