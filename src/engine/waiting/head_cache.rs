//! The heads that the last sweep found. A user is left out after a signal, and while in a large conversation.
//!
//! Most waits time out and begin again. Each would query PostgreSQL for a head that the sweep has just read, though no
//! signal has arrived meanwhile. So a wait that begins uses the cached head, if it is the position that it waits from. The
//! next sweep finds a lost signal, as it does for a wait that sleeps already.

use crate::model::ids::{InboxSeq, UserId};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a head is valid, so that a lost signal is found within five seconds.
const TTL: Duration = Duration::from_secs(4);

/// The heads of the last sweep that are still valid.
#[derive(Default)]
pub struct InboxHeadCache(Mutex<State>);

#[derive(Default)]
struct State {
    heads: HashMap<UserId, InboxSeq>,
    at: Option<Instant>,
    refresh: Option<Refresh>,
    refreshes: u64,
}

/// A running refresh.
struct Refresh {
    number: u64,
    /// Users whose heads were invalidated since it began: it may have read them before.
    invalidated: HashSet<UserId>,
}

/// A running refresh. It changes nothing if it is dropped.
pub struct RefreshGuard<'a> {
    cache: &'a InboxHeadCache,
    number: u64,
    begun: Instant,
}

impl InboxHeadCache {
    /// Begins a refresh, before the sweep reads the heads. It cancels one that began before.
    pub fn begin(&self) -> RefreshGuard<'_> {
        let mut state = self.lock();
        state.refreshes += 1;
        let number = state.refreshes;
        state.refresh = Some(Refresh {
            number,
            invalidated: HashSet::new(),
        });
        RefreshGuard {
            cache: self,
            number,
            begun: Instant::now(),
        }
    }

    /// Removes the head of a user: the inbox has a newer one, or a signal may have been lost.
    pub fn invalidate(&self, user: UserId) {
        let mut state = self.lock();
        state.heads.remove(&user);
        if let Some(refresh) = &mut state.refresh {
            refresh.invalidated.insert(user);
        }
    }

    /// The head of a user's inbox, as PostgreSQL had it at most 4 seconds ago. `None` if there may be a newer one, or if the
    /// user is in a large conversation.
    pub fn head(&self, user: UserId) -> Option<InboxSeq> {
        let state = self.lock();
        state.at.filter(|at| at.elapsed() < TTL)?;
        state.heads.get(&user).copied()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RefreshGuard<'_> {
    /// Replaces the cached heads by those that the sweep found.
    pub fn end(self, heads: HashMap<UserId, InboxSeq>) {
        let mut state = self.cache.lock();
        let mine = state.refresh.take_if(|one| one.number == self.number);
        if let Some(Refresh { invalidated, .. }) = mine {
            state.heads = heads;
            state.heads.retain(|user, _| !invalidated.contains(user));
            state.at = Some(self.begun);
        }
    }
}

impl Drop for RefreshGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        state.refresh.take_if(|one| one.number == self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::InboxHeadCache;
    use crate::model::ids::{InboxSeq, UserId};
    use std::collections::HashMap;
    use uuid::Uuid;

    #[test]
    fn head_is_cached_until_it_is_invalidated() {
        let cache = InboxHeadCache::default();
        let [ann, ben] = [1, 2].map(|n| UserId(Uuid::from_u128(n)));
        let head = InboxSeq(7);
        let heads = || HashMap::from([(ann, head), (ben, head)]);
        let known = || [ann, ben].map(|user| cache.head(user).is_some());
        assert_eq!(known(), [false, false]);
        cache.begin().end(heads());
        assert_eq!(known(), [true, true]);
        cache.invalidate(ann);
        assert_eq!(known(), [false, true]);
        // A head that is invalidated during a sweep may be newer than the one that the sweep finds.
        let sweep = cache.begin();
        cache.invalidate(ben);
        sweep.end(heads());
        assert_eq!(known(), [true, false]);
        // A sweep that began before another one misses the invalidations between the two.
        let early = cache.begin();
        cache.invalidate(ben);
        let late = cache.begin();
        early.end(heads());
        assert_eq!(known(), [true, false]);
        late.end(heads());
        assert_eq!(known(), [true, true]);
        // A failed sweep keeps the heads of the one before.
        drop(cache.begin());
        cache.invalidate(ann);
        assert_eq!(known(), [false, true]);
    }
}
