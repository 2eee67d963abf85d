//! The memory for parts of uploads: bounded for all clients together, and two parts at a time for each user.

use crate::engine::error::Error;
use crate::model::ids::UserId;
use crate::model::rate_limit::{Policy, QuotaStatus};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most bytes of parts in memory.
const TOTAL_BYTES: usize = 128 * 1024 * 1024;

/// From here on no further part begins: those that have begun can go on, and a refusal costs PostgreSQL nothing.
const FULL_BYTES: usize = TOTAL_BYTES / 4 * 3;

/// The parts that a user may send at a time to a node.
const PARTS_OF_USER: u32 = 2;

/// When a client may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Usage {
    bytes: usize,
    parts: HashMap<UserId, u32>,
}

/// The budget of a node.
#[derive(Clone, Default)]
pub struct PartBudget(Arc<Mutex<Usage>>);

/// A part in memory, released on drop.
pub struct PartMemory {
    budget: PartBudget,
    owner: UserId,
    bytes: usize,
}

impl PartBudget {
    /// Begins a part of this user.
    pub fn begin(&self, owner: UserId) -> Result<PartMemory, Error> {
        let mut usage = self.lock();
        if usage.bytes >= FULL_BYTES {
            return Err(Error::Overloaded(RETRY_AFTER));
        }
        let parts = usage.parts.entry(owner).or_default();
        if *parts >= PARTS_OF_USER {
            return Err(Error::RateLimited(QuotaStatus {
                policy: Policy {
                    name: "media_parts",
                    interval: RETRY_AFTER,
                    burst: PARTS_OF_USER,
                },
                remaining: 0,
                reset_after: RETRY_AFTER,
                retry_after: Some(RETRY_AFTER),
            }));
        }
        *parts += 1;
        Ok(PartMemory {
            budget: self.clone(),
            owner,
            bytes: 0,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Usage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartMemory {
    /// Reserves memory for bytes that have come.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        let mut usage = self.budget.lock();
        if usage.bytes + bytes > TOTAL_BYTES {
            return Err(Error::Overloaded(RETRY_AFTER));
        }
        usage.bytes += bytes;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for PartMemory {
    fn drop(&mut self) {
        let mut usage = self.budget.lock();
        usage.bytes -= self.bytes;
        if let Some(parts) = usage.parts.get_mut(&self.owner) {
            *parts -= 1;
            if *parts == 0 {
                usage.parts.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FULL_BYTES, PartBudget, TOTAL_BYTES};
    use crate::engine::error::Error;
    use crate::model::ids::UserId;
    use uuid::Uuid;

    #[test]
    fn parts_are_bounded_for_each_user_and_for_all() {
        let budget = PartBudget::default();
        let user = |n| UserId(Uuid::from_u128(n));
        let mut first = budget.begin(user(1)).unwrap();
        let second = budget.begin(user(1)).unwrap();
        assert!(matches!(budget.begin(user(1)), Err(Error::RateLimited(_))));
        let mut other = budget.begin(user(2)).unwrap();
        first.grow(FULL_BYTES).unwrap();
        assert!(matches!(budget.begin(user(3)), Err(Error::Overloaded(_))));
        first.grow(TOTAL_BYTES - FULL_BYTES).unwrap();
        assert!(matches!(other.grow(1), Err(Error::Overloaded(_))));
        drop((first, second));
        other.grow(TOTAL_BYTES).unwrap();
        drop(other);
        assert_eq!(budget.lock().bytes, 0);
        assert!(budget.lock().parts.is_empty());
    }
}
