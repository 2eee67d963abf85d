//! Limits of the diagnostic waits on a node, for each user and for all.

use crate::engine::error::Error;
use crate::model::ids::UserId;
use crate::model::rate_limit::{Policy, QuotaStatus};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The limit of one node. Finding a fault needs no more.
const PER_NODE: u32 = 100;

/// The limit of one user on one node.
const PER_USER: u32 = 2;

/// When a refused client may try again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

const LIMIT_REACHED: Error = Error::RateLimited(QuotaStatus {
    policy: Policy {
        name: "diagnostics",
        interval: Duration::ZERO,
        burst: PER_USER,
    },
    remaining: 0,
    reset_after: Duration::ZERO,
    retry_after: Some(RETRY_AFTER),
});

/// The diagnostic waits of this node.
#[derive(Default)]
pub struct DiagnosticSlots {
    by_user: Mutex<HashMap<UserId, u32>>,
    draining: Notify,
}

/// A slot of one wait. Dropping it, for example when the client disconnects, frees it.
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
    /// The number of diagnostic waits.
    pub fn count(&self) -> u32 {
        self.lock().values().sum()
    }

    /// Ends all diagnostic waits, because the node drains.
    pub fn end(&self) {
        self.draining.notify_waiters();
    }

    /// Takes a slot.
    pub fn enter(&self, user: UserId) -> Result<DiagnosticSlot<'_>, Error> {
        let mut by_user = self.lock();
        if by_user.get(&user).is_some_and(|count| *count >= PER_USER) {
            return Err(LIMIT_REACHED);
        }
        if by_user.values().sum::<u32>() >= PER_NODE {
            return Err(Error::Overloaded(RETRY_AFTER));
        }
        *by_user.entry(user).or_default() += 1;
        Ok(DiagnosticSlot { slots: self, user })
    }

    /// Resolves when the node drains. Call it before checking for the drain, so that no drain is missed.
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
    fn slots_are_limited_and_freed() {
        let diagnostics = DiagnosticSlots::default();
        let enter = |n| diagnostics.enter(UserId(Uuid::from_u128(n)));
        let mut slots: Vec<_> = (0..PER_NODE)
            .map(|n| enter((n / PER_USER).into()).unwrap())
            .collect();
        assert_eq!(diagnostics.count(), PER_NODE);
        assert!(matches!(enter(0), Err(Error::RateLimited(_))));
        assert!(matches!(enter(1_000), Err(Error::Overloaded(_))));
        slots.truncate(1);
        assert!(enter(1_000).is_ok());
        drop(slots);
        assert_eq!(diagnostics.count(), 0);
        assert!(diagnostics.lock().is_empty());
    }
}
