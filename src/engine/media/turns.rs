//! Turns of the processing: a few on a node, and one for each user.

use crate::model::ids::UserId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most uploads that a node processes at a time.
const RUNS: usize = 4;

/// The turns of a node. Those who wait for one are of different users, so that nobody waits behind all uploads of another one.
pub struct Turns {
    node: Arc<Semaphore>,
    users: Mutex<HashMap<UserId, Weak<Semaphore>>>,
}

/// A turn, which ends on drop.
pub struct Turn {
    _user: OwnedSemaphorePermit,
    _node: OwnedSemaphorePermit,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            node: Arc::new(Semaphore::new(RUNS)),
            users: Mutex::default(),
        }
    }
}

impl Turns {
    /// Waits for a turn of this user. None: the node stops.
    pub async fn take(&self, user: UserId) -> Option<Turn> {
        let own = self.of_user(user);
        Some(Turn {
            _user: own.acquire_owned().await.ok()?,
            _node: Arc::clone(&self.node).acquire_owned().await.ok()?,
        })
    }

    fn of_user(&self, user: UserId) -> Arc<Semaphore> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.retain(|_, own| own.strong_count() > 0);
        let known = users.get(&user).and_then(Weak::upgrade);
        let own = known.unwrap_or_else(|| Arc::new(Semaphore::new(1)));
        users.insert(user, Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use super::{RUNS, Turns};
    use crate::model::ids::UserId;
    use futures_util::FutureExt;
    use uuid::Uuid;

    #[test]
    fn user_has_one_turn_and_others_have_theirs() {
        let turns = Turns::default();
        let take = |n: usize| turns.take(UserId(Uuid::from_u128(n as u128)));
        let first = take(0).now_or_never().flatten();
        assert!(take(0).now_or_never().is_none());
        let others: Vec<_> = (1..RUNS).map(|n| take(n).now_or_never()).collect();
        assert!(others.iter().all(Option::is_some));
        assert!(take(RUNS).now_or_never().is_none());
        drop(first);
        assert!(take(0).now_or_never().is_some());
        drop(others);
        drop(turns.of_user(UserId(Uuid::nil())));
        assert_eq!(turns.users.lock().unwrap().len(), 1);
    }
}
