//! A wait for nothing. Whatever stands between a client and us (proxies, load balancers, the boxes of mobile networks) may
//! cut a request that is silent for too long, and the client sees only that it was cut. Here it waits for as long as it
//! asked, whatever happens in its inbox, so that what ends the wait earlier is in between.

use crate::app::App;
use crate::domain::error::Error;
use crate::model::ids::UserId;
use crate::model::limit::{Policy, Standing};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The most on one node: it is for finding a fault, and needs no more.
const PER_NODE: u32 = 100;

/// The most of one user on one node.
const PER_USER: u32 = 2;

/// When somebody who found no place may look again.
const LATER: Duration = Duration::from_secs(5);

const FULL: Error = Error::RateLimited(Standing {
    policy: Policy {
        name: "diagnostics",
        interval: Duration::ZERO,
        burst: PER_USER,
    },
    remaining: 0,
    reset_after: Duration::ZERO,
    retry_after: Some(LATER),
});

/// The waits for nothing on this node.
#[derive(Default)]
pub struct Diagnostics {
    by_user: Mutex<HashMap<UserId, u32>>,
    draining: Notify,
}

/// A place among them. Dropping it, as happens when the client goes away, frees it.
struct Place<'a> {
    diagnostics: &'a Diagnostics,
    user: UserId,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.diagnostics.lock().entry(self.user) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// What a wait came to.
pub struct Waited {
    /// How long it took.
    pub waited: Duration,
    /// It was cut short, since the node is going away.
    pub reconnect: bool,
}

impl Diagnostics {
    /// How many there are.
    pub fn count(&self) -> u32 {
        self.lock().values().sum()
    }

    /// Ends them all, once the node drains.
    pub fn end(&self) {
        self.draining.notify_waiters();
    }

    fn enter(&self, user: UserId) -> Result<Place<'_>, Error> {
        let mut by_user = self.lock();
        if by_user.get(&user).is_some_and(|count| *count >= PER_USER) {
            return Err(FULL);
        }
        if by_user.values().sum::<u32>() >= PER_NODE {
            return Err(Error::Overloaded(LATER));
        }
        *by_user.entry(user).or_default() += 1;
        Ok(Place {
            diagnostics: self,
            user,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, u32>> {
        self.by_user.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for so long, and for nothing else. It holds no thread and no connection to anything.
pub async fn longpoll(app: &App, user: UserId, timeout: Duration) -> Result<Waited, Error> {
    let started = Instant::now();
    let _place = app.diagnostics.enter(user)?;
    // Made before the look: it hears of a drain that begins in between.
    let drained = app.diagnostics.draining.notified();
    let reconnect = app.draining.load(Ordering::Acquire)
        || tokio::time::timeout(timeout, drained).await.is_ok();
    Ok(Waited {
        waited: started.elapsed(),
        reconnect,
    })
}

#[cfg(test)]
mod tests {
    use super::{Diagnostics, PER_NODE, PER_USER};
    use crate::domain::error::Error;
    use crate::model::ids::UserId;
    use uuid::Uuid;

    #[test]
    fn places_are_few_and_come_back() {
        let diagnostics = Diagnostics::default();
        let enter = |n| diagnostics.enter(UserId(Uuid::from_u128(n)));
        let mut places: Vec<_> = (0..PER_NODE)
            .map(|n| enter((n / PER_USER).into()).unwrap())
            .collect();
        assert_eq!(diagnostics.count(), PER_NODE);
        assert!(matches!(enter(0), Err(Error::RateLimited(_))));
        assert!(matches!(enter(1_000), Err(Error::Overloaded(_))));
        places.truncate(1);
        assert!(enter(1_000).is_ok());
        drop(places);
        assert_eq!(diagnostics.count(), 0);
        assert!(diagnostics.lock().is_empty());
    }
}
