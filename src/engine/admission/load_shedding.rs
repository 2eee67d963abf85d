//! Load shedding: which requests are refused first when PostgreSQL is the bottleneck.
//!
//! New waits are refused first, since a second without one costs little; then history; then fetches. Other requests that
//! need a connection to PostgreSQL follow, when the queue of the connection limiter is full. Sends are last: the writers
//! have connections of their own, and refuse only when their queues are full.

use crate::engine::admission::Admission;
use crate::engine::error::Error;
use crate::storage::pg::WAITING;
use std::time::Duration;

/// When a refused client may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The kind of a request. The first kind is refused first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A wait.
    Wait,
    /// Reading history: messages, members, lists of conversations.
    History,
    /// Fetching new entries.
    Fetch,
}

impl Admission {
    /// Refuses a request of this priority if too many requests wait for a connection to PostgreSQL, and a wait if the node
    /// has reached its limit of waits.
    pub fn admit(&self, priority: Priority) -> Result<(), Error> {
        let max = match priority {
            // High enough for all waits that begin together after a restart: thousands per second get a connection.
            Priority::Wait => WAITING / 2,
            Priority::History => WAITING / 4 * 3,
            Priority::Fetch => WAITING / 8 * 7,
        };
        let is_full = priority == Priority::Wait && self.waiters.count() >= self.max_waits;
        if is_full || self.pg.usage().waiting >= max {
            return Err(Error::Overloaded(RETRY_AFTER));
        }
        Ok(())
    }
}
