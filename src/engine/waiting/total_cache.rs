//! The unread totals that waits were told last, each with the head that it is as of.
//!
//! A total changes with an entry of the inbox only, so with its head: who waits in vain, again and again, or is woken by a
//! watched conversation, is told the total of the time before, and Redis is not asked. Not for ever: a count that is wrong in
//! Redis is found and mended by the audit, and must not live on here.

use crate::model::ids::{InboxSeq, UserId};
use crate::storage::redis::sync::unread::Total;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For how long a total is good: two waits of the usual length.
const TTL: Duration = Duration::from_secs(60);

/// The totals, and when each came from Redis.
#[derive(Default)]
pub struct UnreadTotalCache(Mutex<HashMap<UserId, (Total, Instant)>>);

impl UnreadTotalCache {
    /// Redis has said this.
    pub fn told(&self, user: UserId, total: Total) {
        self.lock().insert(user, (total, Instant::now()));
    }

    /// The total of a user as of this head, if it is known.
    pub fn as_of(&self, user: UserId, head: InboxSeq) -> Option<Total> {
        let (total, at) = *self.lock().get(&user)?;
        (total.as_of == head && at.elapsed() < TTL).then_some(total)
    }

    /// Forgets those that are good no more.
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
    fn a_total_is_good_for_its_head_and_a_minute() {
        let totals = UnreadTotalCache::default();
        let user = UserId(Uuid::from_u128(1));
        let total = Total {
            as_of: InboxSeq(7),
            total: 3,
        };
        totals.told(user, total);
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
