//! The one place that reads the time and makes ids, so that everything else takes them as values.
//!
//! Order and retention never use this clock: times of entries come from PostgreSQL, inside the transaction.

#![expect(clippy::disallowed_methods, reason = "this is the place")]

use rand::Rng;
use uuid::Uuid;

/// Seconds since 1970, for the lives of tokens.
pub fn unix_seconds() -> i64 {
    chrono::Utc::now().timestamp()
}

/// A new time-ordered id (UUIDv7).
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// Random bytes that nobody can guess.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// A random share of a whole, for jitter.
pub fn jitter() -> f64 {
    f64::from(rand::rng().next_u32()) / f64::from(u32::MAX)
}
