//! Pages of timelines and listings.

use crate::model::ids::{ClientMsgId, ConversationId, InboxSeq, MediaId, UserId};
use crate::model::wire::conversation::Order;
use crate::model::wire::violation::Violation;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The most entries of a page: 1 to [`PageSize::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize(i64);

impl PageSize {
    /// The largest page.
    pub const MAX: i64 = 500;
    /// The page size if none is requested.
    pub const DEFAULT: Self = Self(100);

    /// Parses a requested page size.
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

/// A range of a conversation's timeline; the result is in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range<S> {
    /// The first entries after this seq.
    Since(S),
    /// The last entries before this seq.
    Before(S),
    /// The newest entries.
    Newest,
}

/// About how many bytes of content a page may have. A page has at least one entry, of any size.
pub const PAGE_BYTES: i64 = 1024 * 1024;

/// A page of a listing.
#[derive(Debug)]
pub struct Page<T> {
    /// The items of the page.
    pub items: Vec<T>,
    /// Where the next page begins; none on the last page.
    pub next_cursor: Option<String>,
}

/// Where the next page of a listing of users begins.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserCursor {
    /// The last user of the previous page.
    pub after: UserId,
}

/// Where the next page of media begins.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaCursor {
    /// The last media of the previous page.
    pub before: MediaId,
}

/// Where the next page of contacts begins.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContactCursor {
    /// The last person of the previous page.
    pub after: UserId,
    /// The inbox head, read before the first page.
    pub inbox_seq: InboxSeq,
}

/// Where the next page of drafts begins.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DraftCursor {
    /// The last conversation of the previous page.
    pub after: ConversationId,
}

/// Where the next page of scheduled messages begins.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduledCursor {
    /// The last message of the previous page.
    pub after: ClientMsgId,
}

/// Where the next page of conversations begins; sent as an opaque cursor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConversationCursor {
    /// The order of the listing.
    pub order: Order,
    /// The inbox head, read before the first page.
    pub inbox_seq: InboxSeq,
    /// The last conversation of the previous page.
    pub after: ConversationId,
    /// When that conversation last changed, in microseconds since 1970.
    pub updated_us: i64,
}

/// Encodes a position in a listing as an opaque cursor that is safe in URLs.
pub fn to_cursor(position: &impl Serialize) -> serde_json::Result<String> {
    Ok(BASE64.encode(serde_json::to_vec(position)?))
}

/// Decodes the position of a cursor.
pub fn from_cursor<T: DeserializeOwned>(cursor: &str) -> Result<T, Violation> {
    let json = BASE64.decode(cursor).ok();
    json.and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or_else(|| Violation::new("cursor", "is not a cursor of this listing"))
}

/// A page of a listing of users, with the cursor of the next page.
pub fn by_user<T>(
    items: Vec<T>,
    limit: PageSize,
    id: fn(&T) -> UserId,
) -> serde_json::Result<Page<T>> {
    let full = i64::try_from(items.len()).is_ok_and(|len| len == limit.get());
    let last = items.last().filter(|_| full);
    let next_cursor = last
        .map(|last| to_cursor(&UserCursor { after: id(last) }))
        .transpose()?;
    Ok(Page { items, next_cursor })
}
