//! What users may do in conversations, as PostgreSQL said within the last minute.
//!
//! Whatever changes it writes an entry into the user's inbox, which removes what is cached for the user. A query that runs meanwhile may
//! have read the earlier state, so its result is not stored.

use crate::model::ids::{ConversationId, UserId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long an access is cached.
pub const TTL: Duration = Duration::from_secs(60);

/// What a user may do in a conversation, towards another user or alone.
pub type Access = (ConversationId, UserId);

/// The cached accesses of each user.
#[derive(Default)]
pub struct AccessCache {
    state: Mutex<State>,
    /// Without a cached access, an entry of an inbox needs no lock here.
    is_used: AtomicBool,
}

#[derive(Default)]
struct State {
    users: HashMap<UserId, Accesses>,
    queries: u64,
}

struct Accesses {
    /// The first query since the user was forgotten.
    first: u64,
    all: HashMap<Access, (Instant, bool)>,
}

/// A running query of what a user may do.
#[derive(Clone, Copy)]
pub struct AccessQuery(u64);

impl AccessCache {
    /// Whether the user may, if that is cached and not older than `ttl`.
    pub fn get(&self, user: UserId, access: Access, ttl: Duration) -> Option<bool> {
        let state = self.lock();
        let (at, may) = state.users.get(&user)?.all.get(&access)?;
        (at.elapsed() < ttl).then_some(*may)
    }

    /// Begins a query.
    pub fn begin(&self, user: UserId) -> AccessQuery {
        let state = &mut *self.lock();
        self.is_used.store(true, Ordering::SeqCst);
        state.queries += 1;
        let new = || Accesses {
            first: state.queries,
            all: HashMap::new(),
        };
        AccessQuery(state.users.entry(user).or_insert_with(new).first)
    }

    /// Stores a result of a query, unless the user was forgotten since it began.
    pub fn store(&self, query: AccessQuery, user: UserId, access: Access, may: bool) {
        let mut state = self.lock();
        let accesses = state.users.get_mut(&user);
        if let Some(accesses) = accesses.filter(|accesses| accesses.first == query.0) {
            accesses.all.insert(access, (Instant::now(), may));
        }
    }

    /// Removes what is cached for a user.
    pub fn forget(&self, user: UserId) {
        if self.is_used.load(Ordering::SeqCst) {
            self.lock().users.remove(&user);
        }
    }

    /// Removes what is no longer valid.
    pub fn evict_expired(&self) {
        let state = &mut *self.lock();
        state.users.retain(|_, accesses| {
            accesses.all.retain(|_, (at, _)| at.elapsed() < TTL);
            !accesses.all.is_empty()
        });
        self.is_used
            .store(!state.users.is_empty(), Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{AccessCache, TTL};
    use crate::model::ids::{ConversationId, UserId};
    use std::time::Duration;
    use uuid::Uuid;

    #[test]
    fn access_is_cached_until_its_user_is_forgotten() {
        let cache = AccessCache::default();
        let ann = UserId(Uuid::from_u128(1));
        let access = (ConversationId(Uuid::from_u128(2)), ann);
        let get = || cache.get(ann, access, TTL);
        let query = cache.begin(ann);
        cache.store(query, ann, access, true);
        cache.evict_expired();
        assert_eq!(get(), Some(true));
        assert_eq!(cache.get(ann, access, Duration::ZERO), None);
        cache.forget(ann);
        assert_eq!(get(), None);
        // A query that began before may have read an earlier state.
        cache.store(query, ann, access, true);
        assert_eq!(get(), None);
        let early = cache.begin(ann);
        cache.forget(ann);
        let late = cache.begin(ann);
        cache.store(early, ann, access, true);
        assert_eq!(get(), None);
        cache.store(late, ann, access, false);
        assert_eq!(get(), Some(false));
    }
}
