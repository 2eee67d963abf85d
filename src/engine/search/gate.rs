//! How many searches a node runs: they are refused before anything else.

use crate::engine::error::Error;
use crate::model::ids::UserId;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The searches that run at a time, each on its connection.
const RUNNING: usize = 2;

/// Of each user one search runs at a time and two more wait, so no user takes all places.
const OF_A_USER: usize = 3;

/// The searches that wait for their turn, and how long.
const WAITING: usize = 32;
const PATIENCE: Duration = Duration::from_millis(500);

/// When a refused client may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Lets few searches run at a time.
pub struct SearchGate {
    running: Arc<Semaphore>,
    waiting: Semaphore,
    users: Arc<Users>,
}

/// The users who have a search that runs or waits.
#[derive(Default)]
struct Users(Mutex<HashMap<UserId, Searches>>);

/// The searches of a user.
struct Searches {
    running: Arc<Semaphore>,
    places: usize,
}

/// A place of a user, until it is dropped.
struct Place {
    users: Arc<Users>,
    user: UserId,
    /// What the searches of this user wait for.
    running: Arc<Semaphore>,
}

impl Default for SearchGate {
    fn default() -> Self {
        Self {
            running: Arc::new(Semaphore::new(RUNNING)),
            waiting: Semaphore::new(WAITING),
            users: Arc::default(),
        }
    }
}

/// The turn of a search, until it is dropped.
pub struct SearchPermit {
    _permits: [OwnedSemaphorePermit; 2],
    _place: Place,
}

impl SearchGate {
    /// Waits for the turn of a search.
    pub async fn enter(&self, user: UserId) -> Result<SearchPermit, Error> {
        let overloaded = || Error::Overloaded(RETRY_AFTER);
        let place = Place::take(&self.users, user).ok_or_else(overloaded)?;
        let _waiting = self.waiting.try_acquire().map_err(|_full| overloaded())?;
        let turn = async {
            let own = Arc::clone(&place.running).acquire_owned().await?;
            let running = Arc::clone(&self.running).acquire_owned().await?;
            Ok::<_, AcquireError>(SearchPermit {
                _permits: [own, running],
                _place: place,
            })
        };
        match timeout(PATIENCE, turn).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(overloaded()),
        }
    }
}

impl Users {
    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Searches>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn take(users: &Arc<Users>, user: UserId) -> Option<Self> {
        let mut all = users.lock();
        let own = all.entry(user).or_insert_with(|| Searches {
            running: Arc::new(Semaphore::new(1)),
            places: 0,
        });
        if own.places == OF_A_USER {
            return None;
        }
        own.places += 1;
        Some(Self {
            users: Arc::clone(users),
            user,
            running: Arc::clone(&own.running),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut own) = self.users.lock().entry(self.user) {
            own.get_mut().places -= 1;
            if own.get().places == 0 {
                own.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SearchGate;
    use crate::model::ids::UserId;
    use futures_util::FutureExt;
    use uuid::Uuid;

    #[tokio::test]
    async fn a_user_has_three_places_and_takes_none_of_another_one() {
        let gate = SearchGate::default();
        // Ids that end alike.
        let enter = |user: u128| gate.enter(UserId(Uuid::from_u128(user << 64)));
        let own = enter(1).await.unwrap();
        let mut waiting = [enter(1), enter(1)].map(Box::pin);
        for search in &mut waiting {
            assert!(search.now_or_never().is_none());
        }
        assert!(enter(1).now_or_never().unwrap().is_err());
        let other = enter(2).await.unwrap();
        assert_eq!(gate.users.lock().len(), 2);
        drop((own, waiting));
        drop(enter(1).await.unwrap());
        assert_eq!(gate.users.lock().len(), 1);
        drop(other);
        assert!(gate.users.lock().is_empty());
        // A search that was given up leaves nothing.
        let both = (enter(1).await.unwrap(), enter(2).await.unwrap());
        assert!(enter(3).await.is_err());
        assert_eq!(gate.users.lock().len(), 2);
        drop(both);
    }
}
