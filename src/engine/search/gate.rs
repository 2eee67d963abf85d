//! How many searches a node runs: they are refused before anything else.

use crate::engine::error::Error;
use crate::model::ids::UserId;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The searches that run at a time, each on its connection.
const RUNNING: usize = 2;

/// Users are divided into so many groups. Of each group one search runs at a time and two more wait, so no user takes all places.
const GROUPS: usize = 64;
const OF_A_GROUP: usize = 3;

/// The searches that wait for their turn, and how long.
const WAITING: usize = 32;
const PATIENCE: Duration = Duration::from_millis(500);

/// When a refused client may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Lets few searches run at a time.
pub struct SearchGate {
    running: Arc<Semaphore>,
    waiting: Semaphore,
    groups: [Group; GROUPS],
}

struct Group {
    running: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Default for SearchGate {
    fn default() -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self {
            running: semaphore(RUNNING),
            waiting: Semaphore::new(WAITING),
            groups: std::array::from_fn(|_| Group {
                running: semaphore(1),
                places: semaphore(OF_A_GROUP),
            }),
        }
    }
}

/// The turn of a search, until it is dropped.
pub struct SearchPermit {
    _permits: [OwnedSemaphorePermit; 3],
}

impl SearchGate {
    /// Waits for the turn of a search.
    pub async fn enter(&self, user: UserId) -> Result<SearchPermit, Error> {
        let overloaded = || Error::Overloaded(RETRY_AFTER);
        // The end of an id is random in every version of UUID.
        let of = usize::from(user.0.as_bytes()[15]) % GROUPS;
        let group = self.groups.get(of).ok_or_else(overloaded)?;
        let place = Arc::clone(&group.places).try_acquire_owned();
        let place = place.map_err(|_full| overloaded())?;
        let _waiting = self.waiting.try_acquire().map_err(|_full| overloaded())?;
        let turn = async {
            let own = Arc::clone(&group.running).acquire_owned().await?;
            let running = Arc::clone(&self.running).acquire_owned().await?;
            Ok::<_, AcquireError>(SearchPermit {
                _permits: [place, own, running],
            })
        };
        match timeout(PATIENCE, turn).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(overloaded()),
        }
    }
}
