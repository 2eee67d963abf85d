//! The refresh generations whose first use this node has seen, so that not every request with a fresh token asks PostgreSQL.

use crate::model::ids::DeviceId;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a repeat of a rotated refresh token is answered, if its successor was not used: a lost answer must not log
/// anyone out.
pub const REPEAT: Duration = Duration::from_secs(60);

/// Generations that do not matter any more are forgotten whenever twice as many are kept as did matter, and so many
/// more.
const FORGET: usize = 1_000;

/// The refresh generations whose first use this node has seen, for as long as that matters.
#[derive(Default)]
pub struct UsedGenerations(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    by_generation: HashMap<(DeviceId, i64), Instant>,
    forget_at: usize,
}

impl UsedGenerations {
    /// Whether the first use was seen.
    pub fn seen(&self, key: (DeviceId, i64)) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.by_generation.contains_key(&key)
    }

    /// Notes a first use.
    pub fn add(&self, key: (DeviceId, i64)) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if seen.by_generation.len() >= seen.forget_at {
            seen.by_generation
                .retain(|_, at| now.duration_since(*at) < 2 * REPEAT);
            // Each look through all of them follows as many new ones: after a restart everybody's first use comes at once.
            seen.forget_at = 2 * seen.by_generation.len() + FORGET;
        }
        seen.by_generation.insert(key, now);
    }
}

#[cfg(test)]
mod tests {
    use super::{FORGET, REPEAT, UsedGenerations};
    use crate::clock::new_id;
    use crate::model::ids::DeviceId;
    use std::time::Instant;

    #[test]
    fn a_first_use_costs_the_same_however_many_came_before() {
        let confirmed = UsedGenerations::default();
        let long_ago = Instant::now().checked_sub(3 * REPEAT).unwrap();
        let forgotten = (DeviceId(new_id()), 1);
        confirmed.add(forgotten);
        confirmed
            .0
            .lock()
            .unwrap()
            .by_generation
            .insert(forgotten, long_ago);
        let devices: Vec<_> = (0..50 * FORGET).map(|_| DeviceId(new_id())).collect();
        let forget_at = || confirmed.0.lock().unwrap().forget_at;
        let mut looks = 0;
        for device in &devices {
            let before = forget_at();
            confirmed.add((*device, 1));
            looks += usize::from(forget_at() != before);
        }
        // Through all of them, each time for twice as many: with each one it would be a billion steps.
        assert!(looks < 10, "{looks}");
        assert!(devices.iter().all(|device| confirmed.seen((*device, 1))));
        assert!(!confirmed.seen(forgotten));
    }
}
