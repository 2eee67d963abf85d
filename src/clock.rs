//! The only place that reads the time and makes ids; all other code takes them as values.
//!
//! Order and retention never use the clock of a node: the times of entries come from PostgreSQL, inside the transaction. The
//! lifetime of tokens does not use it either, since a node with a wrong clock would reject tokens of other nodes: see
//! [`SharedClock`].

#![expect(clippy::disallowed_methods, reason = "this is the only place")]

use rand::Rng;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The resolution of deadlines that need not be exact.
const TICK: Duration = Duration::from_millis(100);

/// This machine's time, in seconds since 1970.
pub fn unix_seconds() -> i64 {
    chrono::Utc::now().timestamp()
}

/// The database's clock, which all nodes share, as last read by this process. The time since then is measured by the monotonic
/// clock, since the machine's clock may be set at any time.
pub struct SharedClock {
    began: Instant,
    /// The time at `began`.
    then: AtomicI64,
}

impl SharedClock {
    /// A clock that shows `now`, in seconds since 1970.
    pub fn showing(now: i64) -> Self {
        Self {
            began: Instant::now(),
            then: AtomicI64::new(now),
        }
    }

    /// The time, in seconds since 1970.
    pub fn now(&self) -> i64 {
        self.then.load(Ordering::Relaxed) + self.since()
    }

    /// Sets the time.
    pub fn set(&self, now: i64) {
        self.then.store(now - self.since(), Ordering::Relaxed);
    }

    fn since(&self) -> i64 {
        self.began.elapsed().as_secs().cast_signed()
    }
}

/// The first tick after `time` from now. Thousands of deadlines at different times would wake a thread for each; at a tick it
/// wakes once for all of them.
pub fn tick_after(time: Duration) -> Instant {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let end = (BEGAN.elapsed() + time).as_nanos();
    let ticks = end.div_ceil(TICK.as_nanos());
    *BEGAN + TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// A new id, ordered by time (UUIDv7).
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// Random bytes that cannot be guessed.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// A random number from 0 to 1, for jitter.
pub fn jitter() -> f64 {
    f64::from(rand::rng().next_u32()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use crate::clock::{TICK, tick_after};
    use std::time::{Duration, Instant};

    #[test]
    fn ends_are_whole_ticks_apart_and_never_early() {
        let time = Duration::from_millis(1_234);
        let first = tick_after(time);
        for more in [0, 1, 30, 99, 100, 25_000].map(Duration::from_millis) {
            let time = time + more;
            let before = Instant::now();
            let end = tick_after(time);
            let asked = before + time..Instant::now() + time;
            assert!(end >= asked.start && end < asked.end + TICK, "{more:?}");
            let apart = (end - first).as_nanos();
            assert_eq!(apart % TICK.as_nanos(), 0, "{more:?}");
        }
    }
}
