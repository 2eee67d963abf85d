//! How many diagnostic waits may sleep on a node, of one user and of all.

use crate::engine::error::Error;
use crate::model::ids::UserId;
use crate::model::rate_limit::{Policy, QuotaStatus};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The most on one node: it is for finding a fault, and needs no more.
const PER_NODE: u32 = 100;

/// The most of one user on one node.
const PER_USER: u32 = 2;

/// When somebody who found no place may look again.
const LATER: Duration = Duration::from_secs(5);

const FULL: Error = Error::RateLimited(QuotaStatus {
    policy: Policy {
        name: "diagnostics",
        interval: Duration::ZERO,
        burst: PER_USER,
    },
    remaining: 0,
    reset_after: Duration::ZERO,
    retry_after: Some(LATER),
});

/// The diagnostic waits of this node.
#[derive(Default)]
pub struct DiagnosticSlots {
    by_user: Mutex<HashMap<UserId, u32>>,
    draining: Notify,
}

/// One of them. Dropping it, as happens when the client goes away, frees it.
pub struct DiagnosticSlot<'a> {
    slots: &'a DiagnosticSlots,
    user: UserId,
}

impl Drop for DiagnosticSlot<'_> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.slots.lock().entry(self.user) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl DiagnosticSlots {
    /// How many there are.
    pub fn count(&self) -> u32 {
        self.lock().values().sum()
    }

    /// Ends them all, once the node drains.
    pub fn end(&self) {
        self.draining.notify_waiters();
    }

    /// Takes a slot.
    pub fn enter(&self, user: UserId) -> Result<DiagnosticSlot<'_>, Error> {
        let mut by_user = self.lock();
        if by_user.get(&user).is_some_and(|count| *count >= PER_USER) {
            return Err(FULL);
        }
        if by_user.values().sum::<u32>() >= PER_NODE {
            return Err(Error::Overloaded(LATER));
        }
        *by_user.entry(user).or_default() += 1;
        Ok(DiagnosticSlot { slots: self, user })
    }

    /// Resolves once the node drains. Made before a look at whether it does, it misses nothing.
    pub fn drained(&self) -> Notified<'_> {
        self.draining.notified()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, u32>> {
        self.by_user.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{DiagnosticSlots, PER_NODE, PER_USER};
    use crate::engine::error::Error;
    use crate::model::ids::UserId;
    use uuid::Uuid;

    #[test]
    fn places_are_few_and_come_back() {
        let diagnostics = DiagnosticSlots::default();
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
