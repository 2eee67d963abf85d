//! Looking up inbox heads, many at once: every wait looks when it begins and, mostly, when it ends.

use crate::engine::batching::query_batcher::{BatchConfig, QueryBatcher};
use crate::engine::error::Error;
use crate::model::ids::{ConvSeq, ConversationId, InboxSeq, UserId};
use crate::storage::error::StorageResult;
use crate::storage::pg::sync::{inbox, watched};
use crate::storage::pg::{Connection, Pg};
use std::collections::HashMap;

/// One query at a time, so that a crowd that comes at once is few queries.
const MANNER: BatchConfig = BatchConfig {
    name: "heads",
    batch: 2_000,
    concurrency: 1,
    queue: 20_000,
};

/// Whose inbox, and of which conversations besides, if the user is in them.
pub struct HeadQuery {
    /// Who.
    pub user: UserId,
    /// The watched conversations.
    pub watch: Vec<ConversationId>,
}

/// What a look finds.
#[derive(Clone, Debug, Default)]
pub struct HeadSnapshot {
    /// The head of the inbox; 0 when nothing was ever in it.
    pub head: InboxSeq,
    /// What is unread in large conversations; nothing when there are none.
    pub large_unread: Option<i64>,
    /// The heads of those watched conversations that the user is in.
    pub watched: Vec<(ConversationId, ConvSeq)>,
}

/// Looks up inbox heads in PostgreSQL.
pub type Heads = QueryBatcher<HeadQuery, HeadSnapshot>;

/// Starts the look-up on the Tokio runtime that this is called on.
pub fn start(pg: &Pg) -> Heads {
    QueryBatcher::start(pg, MANNER, read)
}

/// The head of a user's inbox, what is unread in large conversations, and the heads of watched ones.
pub async fn load_heads(
    heads: &Heads,
    user: UserId,
    watch: Vec<ConversationId>,
) -> Result<HeadSnapshot, Error> {
    heads.ask(HeadQuery { user, watch }).await
}

fn read(conn: &mut Connection, looks: &[HeadQuery]) -> StorageResult<Vec<HeadSnapshot>> {
    let users: Vec<_> = looks.iter().map(|look| look.user).collect();
    let pairs = |look: &HeadQuery| {
        let user = look.user;
        let watch = look.watch.clone();
        watch.into_iter().map(move |id| (user, id))
    };
    let mut pairs: Vec<_> = looks.iter().flat_map(pairs).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let heads = inbox::heads(conn, &users)?;
    let watched = match pairs.as_slice() {
        [] => HashMap::new(),
        pairs => watched::by_members(conn, pairs)?,
    };
    let seen = |look: &HeadQuery| {
        let head = heads.get(&look.user).copied().unwrap_or_default();
        let seq = |id: &ConversationId| Some((*id, *watched.get(&(look.user, *id))?));
        HeadSnapshot {
            head: head.seq,
            large_unread: head.large_unread,
            watched: look.watch.iter().filter_map(seq).collect(),
        }
    };
    Ok(looks.iter().map(seen).collect())
}
