//! Load shedding: which requests are refused first when PostgreSQL is the bottleneck.
//!
//! New waits are refused first, since a second without one costs little; then history; then fetches. Other requests that need
//! a connection to PostgreSQL follow, when the queue of the connection limiter is full. Sends are last: the writers have
//! connections of their own, and refuse only when their queues are full.

use crate::engine::admission::Admission;
use crate::engine::error::Error;
use crate::storage::pg::WAITING;
use std::time::Duration;

/// How long a refused client should wait before it repeats.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The kind of a request, from the first to be refused to the last.
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
    /// Refuses a request of this priority when too many wait for a connection to PostgreSQL, and a wait when the node has no
    /// place for it.
    pub fn admit(&self, priority: Priority) -> Result<(), Error> {
        let most = match priority {
            // High enough for the waits that come back all at once after a restart: thousands a second get a connection.
            Priority::Wait => WAITING / 2,
            Priority::History => WAITING / 4 * 3,
            Priority::Fetch => WAITING / 8 * 7,
        };
        let no_place = priority == Priority::Wait && self.waiters.count() >= self.most_waits;
        if no_place || self.pg.usage().waiting >= most {
            return Err(Error::Overloaded(RETRY_AFTER));
        }
        Ok(())
    }
}
