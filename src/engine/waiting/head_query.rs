//! Batched queries of inbox heads. A wait without a cached head reads it when it begins; most waits read it when they end.

use crate::engine::batching::query_batcher::{BatchConfig, QueryBatcher};
use crate::engine::error::Error;
use crate::model::ids::{ConversationId, InboxSeq, UserId};
use crate::model::moved::TimelineHeads;
use crate::storage::error::StorageResult;
use crate::storage::pg::sync::{inbox, watched};
use crate::storage::pg::{Connection, Pg};
use std::collections::HashMap;

/// One query at a time, so that waits that begin together share few queries.
const CONFIG: BatchConfig = BatchConfig {
    name: "heads",
    batch: 2_000,
    concurrency: 1,
    queue: 20_000,
};

/// The heads to read: of a user's inbox, and of watched conversations that the user is in.
pub struct HeadQuery {
    /// The user.
    pub user: UserId,
    /// The watched conversations.
    pub watch: Vec<ConversationId>,
}

/// The result of a query of heads.
#[derive(Clone, Debug, Default)]
pub struct HeadSnapshot {
    /// The head of the inbox; 0 if it never had an entry.
    pub head: InboxSeq,
    /// The unread count of all large conversations; `None` if the user is in none.
    pub large_unread: Option<i64>,
    /// The heads of the watched conversations that the user is in.
    pub watched: Vec<(ConversationId, TimelineHeads)>,
}

/// Reads inbox heads from PostgreSQL.
pub type Heads = QueryBatcher<HeadQuery, HeadSnapshot>;

/// Starts the batcher on the current Tokio runtime.
pub fn start(pg: &Pg) -> Heads {
    QueryBatcher::start(pg, CONFIG, read)
}

/// The head of a user's inbox, the unread count of large conversations, and the heads of watched ones.
pub async fn load_heads(
    heads: &Heads,
    user: UserId,
    watch: Vec<ConversationId>,
) -> Result<HeadSnapshot, Error> {
    heads.submit(HeadQuery { user, watch }).await
}

fn read(conn: &mut Connection, queries: &[HeadQuery]) -> StorageResult<Vec<HeadSnapshot>> {
    let users: Vec<_> = queries.iter().map(|query| query.user).collect();
    let pairs = |query: &HeadQuery| {
        let user = query.user;
        let watch = query.watch.clone();
        watch.into_iter().map(move |id| (user, id))
    };
    let mut pairs: Vec<_> = queries.iter().flat_map(pairs).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let heads = inbox::heads(conn, &users)?;
    let watched = match pairs.as_slice() {
        [] => HashMap::new(),
        pairs => watched::by_members(conn, pairs)?,
    };
    let snapshot = |query: &HeadQuery| {
        let head = heads.get(&query.user).copied().unwrap_or_default();
        let heads_of = |id: &ConversationId| Some((*id, *watched.get(&(query.user, *id))?));
        HeadSnapshot {
            head: head.seq,
            large_unread: head.large_unread,
            watched: query.watch.iter().filter_map(heads_of).collect(),
        }
    };
    Ok(queries.iter().map(snapshot).collect())
}
