//! The heads that the last sweep found, of those users of whom nothing was heard since and who are in no large conversation.
//!
//! Thousands of clients wait in vain, again and again. Each would ask PostgreSQL for a head that the sweep has just asked
//! for, and nothing has been announced meanwhile: so a wait that begins takes that head, if it is the one that it waits from.
//! A notice that was lost is found by the next sweep, as for a wait that sleeps already.

use crate::model::ids::{InboxSeq, UserId};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For how long a head is good: a lost notice is found within five seconds, whoever looked.
const FRESH: Duration = Duration::from_secs(4);

/// What the last sweep found, and what was heard since.
#[derive(Default)]
pub struct InboxHeadCache(Mutex<Found>);

#[derive(Default)]
struct Found {
    heads: HashMap<UserId, InboxSeq>,
    at: Option<Instant>,
    under_way: Option<UnderWay>,
    sweeps: u64,
}

struct UnderWay {
    number: u64,
    /// Of whom something was heard since it began: it may have asked before.
    heard: HashSet<UserId>,
}

/// A sweep that is under way. Nothing comes of it when it is dropped.
pub struct RefreshGuard<'a> {
    cache: &'a InboxHeadCache,
    number: u64,
    begun: Instant,
}

impl InboxHeadCache {
    /// A sweep is about to ask. One that began before comes to nothing.
    pub fn begin(&self) -> RefreshGuard<'_> {
        let mut found = self.lock();
        found.sweeps += 1;
        let number = found.sweeps;
        found.under_way = Some(UnderWay {
            number,
            heard: HashSet::new(),
        });
        RefreshGuard {
            cache: self,
            number,
            begun: Instant::now(),
        }
    }

    /// There is news of a user, or there may have been some that was not heard of.
    pub fn heard(&self, user: UserId) {
        let mut found = self.lock();
        found.heads.remove(&user);
        if let Some(sweep) = &mut found.under_way {
            sweep.heard.insert(user);
        }
    }

    /// The head of a user's inbox, as PostgreSQL knew it a few seconds ago; nothing when there may have been news since, or
    /// when it is not all there is to know.
    pub fn head(&self, user: UserId) -> Option<InboxSeq> {
        let found = self.lock();
        found.at.filter(|at| at.elapsed() < FRESH)?;
        found.heads.get(&user).copied()
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RefreshGuard<'_> {
    /// It has found these.
    pub fn end(self, heads: HashMap<UserId, InboxSeq>) {
        let mut found = self.cache.lock();
        let mine = found.under_way.take_if(|sweep| sweep.number == self.number);
        if let Some(UnderWay { heard, .. }) = mine {
            found.heads = heads;
            found.heads.retain(|user, _| !heard.contains(user));
            found.at = Some(self.begun);
        }
    }
}

impl Drop for RefreshGuard<'_> {
    fn drop(&mut self) {
        let mut found = self.cache.lock();
        found.under_way.take_if(|sweep| sweep.number == self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::InboxHeadCache;
    use crate::model::ids::{InboxSeq, UserId};
    use std::collections::HashMap;
    use uuid::Uuid;

    #[test]
    fn a_head_is_good_until_something_may_have_been_missed() {
        let cache = InboxHeadCache::default();
        let [ann, ben] = [1, 2].map(|n| UserId(Uuid::from_u128(n)));
        let head = InboxSeq(7);
        let heads = || HashMap::from([(ann, head), (ben, head)]);
        let known = || [ann, ben].map(|user| cache.head(user).is_some());
        assert_eq!(known(), [false, false]);
        cache.begin().end(heads());
        assert_eq!(known(), [true, true]);
        cache.heard(ann);
        assert_eq!(known(), [false, true]);
        // What is heard while a sweep is under way may be newer than what it finds.
        let sweep = cache.begin();
        cache.heard(ben);
        sweep.end(heads());
        assert_eq!(known(), [true, false]);
        // One that began before another one does not know what was heard between the two.
        let early = cache.begin();
        cache.heard(ben);
        let late = cache.begin();
        early.end(heads());
        assert_eq!(known(), [true, false]);
        late.end(heads());
        assert_eq!(known(), [true, true]);
        // One that fails leaves what was found before.
        drop(cache.begin());
        cache.heard(ann);
        assert_eq!(known(), [false, true]);
    }
}
