//! Unread counts as PostgreSQL has them. When Redis has lost its counts, a crowd asks for its own at once.

use crate::engine::batching::query_batcher::{BatchConfig, QueryBatcher};
use crate::model::ids::UserId;
use crate::model::unread::Counts;
use crate::storage::pg::Pg;
use crate::storage::pg::sync::unread;

/// How many users' counts one query computes.
pub const BATCH: usize = 100;

/// Counts in PostgreSQL.
pub type Recounts = QueryBatcher<UserId, Counts>;

/// Starts the counting on the Tokio runtime that this is called on, with so many queries at a time.
pub fn start(pg: &Pg, concurrency: u32) -> Recounts {
    let manner = BatchConfig {
        name: "unread",
        batch: BATCH,
        concurrency,
        queue: 20_000,
    };
    QueryBatcher::start(pg, manner, unread::counts)
}
