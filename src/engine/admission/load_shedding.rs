//! What is turned away first when there is too much to do.
//!
//! New waits first, which nobody misses for a second; then history; then fetches. Everything else that needs a connection
//! to PostgreSQL comes after that (the gate of `storage/pg` has an end, too), and sends last: they do not pass the gate,
//! the writers have their own connections, and queues that are refused only when they are full.

use crate::engine::error::Error;
use crate::engine::handles::App;
use crate::storage::pg::WAITING;
use std::time::Duration;

/// How long a refused client should stay away.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What somebody wants, from the first to be turned away to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// To wait.
    Wait,
    /// To look back: messages, members, lists of conversations.
    History,
    /// To fetch what is new.
    Fetch,
}

/// Refuses what has to stand back, by how many wait for a connection to PostgreSQL.
pub fn admit(app: &App, load: Priority) -> Result<(), Error> {
    let most = match load {
        // High enough that a crowd of waits that comes back after a restart is let in: the gate lets thousands a second through.
        Priority::Wait => WAITING / 2,
        Priority::History => WAITING / 4 * 3,
        Priority::Fetch => WAITING / 8 * 7,
    };
    let no_place = load == Priority::Wait && app.waiters.count() >= app.most_waits;
    if no_place || app.pg.usage().waiting >= most {
        return Err(Error::Overloaded(RETRY_AFTER));
    }
    Ok(())
}
