//! The refresh generations whose first use this node has recorded, so that not every request with a new token needs a query.

use crate::model::ids::DeviceId;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The grace period: how long a used refresh token gets its successor again, if the successor was not used. A lost response
/// must not log a device out.
pub const REPEAT: Duration = Duration::from_secs(60);

/// Expired generations are evicted when the map has twice as many entries as the last eviction left, plus this number.
const EVICTION_SLACK: usize = 1_000;

/// The refresh generations whose first use this node has recorded, for two grace periods.
#[derive(Default)]
pub struct UsedGenerations(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    by_generation: HashMap<(DeviceId, i64), Instant>,
    evict_at: usize,
}

impl UsedGenerations {
    /// Whether the first use is recorded.
    pub fn seen(&self, key: (DeviceId, i64)) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.by_generation.contains_key(&key)
    }

    /// Records a first use.
    pub fn add(&self, key: (DeviceId, i64)) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if seen.by_generation.len() >= seen.evict_at {
            seen.by_generation
                .retain(|_, at| now.duration_since(*at) < 2 * REPEAT);
            // Doubling keeps the cost of an insertion constant: after a restart, all devices have their first use together.
            seen.evict_at = 2 * seen.by_generation.len() + EVICTION_SLACK;
        }
        seen.by_generation.insert(key, now);
    }
}

#[cfg(test)]
mod tests {
    use super::{EVICTION_SLACK, REPEAT, UsedGenerations};
    use crate::clock::new_id;
    use crate::model::ids::DeviceId;
    use std::time::Instant;

    #[test]
    fn cost_of_a_first_use_does_not_grow() {
        let used = UsedGenerations::default();
        let long_ago = Instant::now().checked_sub(3 * REPEAT).unwrap();
        let expired = (DeviceId(new_id()), 1);
        used.add(expired);
        used.0
            .lock()
            .unwrap()
            .by_generation
            .insert(expired, long_ago);
        let devices: Vec<_> = (0..50 * EVICTION_SLACK)
            .map(|_| DeviceId(new_id()))
            .collect();
        let evict_at = || used.0.lock().unwrap().evict_at;
        let mut evictions = 0;
        for device in &devices {
            let before = evict_at();
            used.add((*device, 1));
            evictions += usize::from(evict_at() != before);
        }
        // An eviction reads all entries: one for each insertion would read more than a billion.
        assert!(evictions < 10, "{evictions}");
        assert!(devices.iter().all(|device| used.seen((*device, 1))));
        assert!(!used.seen(expired));
    }
}
