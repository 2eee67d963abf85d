//! Unread counts from PostgreSQL, batched: when Redis has lost its counts, many users need theirs together.

use crate::engine::batching::query_batcher::{BatchConfig, QueryBatcher};
use crate::model::ids::UserId;
use crate::model::unread::Counts;
use crate::storage::pg::Pg;
use crate::storage::pg::sync::unread;

/// How many users' counts one query computes.
pub const BATCH: usize = 100;

/// Counts unread messages in PostgreSQL.
pub type Recounts = QueryBatcher<UserId, Counts>;

/// Starts the batcher on the current Tokio runtime, with this number of concurrent queries.
pub fn start(pg: &Pg, concurrency: u32) -> Recounts {
    let config = BatchConfig {
        name: "unread",
        batch: BATCH,
        concurrency,
        queue: 20_000,
    };
    QueryBatcher::start(pg, config, unread::counts)
}
