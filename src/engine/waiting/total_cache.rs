//! The latest unread total of each waiting user, with the head that it is as of.
//!
//! An unread total changes only when the inbox head changes. A wait that times out, or wakes for a watched conversation, can
//! reuse the cached total and skip Redis. Entries expire, so that a wrong count that the auditor has removed from Redis does
//! not survive here.

use crate::model::ids::{InboxSeq, UserId};
use crate::storage::redis::sync::unread::Total;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a total is valid: two waits of the usual length.
const TTL: Duration = Duration::from_secs(60);

/// The totals, and when each was read from Redis.
#[derive(Default)]
pub struct UnreadTotalCache(Mutex<HashMap<UserId, (Total, Instant)>>);

impl UnreadTotalCache {
    /// Stores a total that was read from Redis.
    pub fn insert(&self, user: UserId, total: Total) {
        self.lock().insert(user, (total, Instant::now()));
    }

    /// The total of a user as of this head, if it is cached.
    pub fn as_of(&self, user: UserId, head: InboxSeq) -> Option<Total> {
        let (total, at) = *self.lock().get(&user)?;
        (total.as_of == head && at.elapsed() < TTL).then_some(total)
    }

    /// Removes expired totals.
    pub fn evict_expired(&self) {
        self.lock().retain(|_, (_, at)| at.elapsed() < TTL);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, (Total, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{TTL, UnreadTotalCache};
    use crate::model::ids::{InboxSeq, UserId};
    use crate::storage::redis::sync::unread::Total;
    use std::time::Instant;
    use uuid::Uuid;

    #[test]
    fn total_is_valid_for_its_head_and_for_one_minute() {
        let totals = UnreadTotalCache::default();
        let user = UserId(Uuid::from_u128(1));
        let total = Total {
            as_of: InboxSeq(7),
            total: 3,
        };
        totals.insert(user, total);
        assert_eq!(totals.as_of(user, InboxSeq(7)), Some(total));
        assert_eq!(totals.as_of(user, InboxSeq(8)), None);
        assert_eq!(totals.as_of(UserId(Uuid::nil()), InboxSeq(7)), None);
        totals.evict_expired();
        assert_eq!(totals.as_of(user, InboxSeq(7)), Some(total));
        let before = Instant::now().checked_sub(TTL).unwrap();
        totals.lock().insert(user, (total, before));
        assert_eq!(totals.as_of(user, InboxSeq(7)), None);
        totals.evict_expired();
        assert!(totals.lock().is_empty());
    }
}
