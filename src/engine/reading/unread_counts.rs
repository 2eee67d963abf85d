//! Unread counts as PostgreSQL has them. When Redis has lost its counts, a crowd asks for its own at once.

use crate::engine::batching::query_batcher::{Manner, Shared};
use crate::model::ids::UserId;
use crate::model::unread::Counts;
use crate::storage::pg::Pg;
use crate::storage::pg::sync::unread;

/// How many users' counts one query computes.
pub const BATCH: usize = 100;

/// Counts in PostgreSQL.
pub type Recounts = Shared<UserId, Counts>;

/// Starts the counting on the Tokio runtime that this is called on, with so many queries at a time.
pub fn start(pg: &Pg, lanes: u32) -> Recounts {
    let manner = Manner {
        name: "unread",
        batch: BATCH,
        lanes,
        queue: 20_000,
    };
    Shared::start(pg, manner, unread::counts)
}
