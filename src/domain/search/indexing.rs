//! The index of the search. Sends do not write it: full blocks are found by hints of the writer, and by a sweep.

use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::search::filter::lexemes;
use crate::model::ids::{ConvSeq, ConversationId};
use crate::model::wire::message::Message;
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::messaging::conversations;
use crate::storage::pg::search::blocks::{self, ANYTHING, BLOCK, MarkedBlock};
use crate::storage::pg::search::candidates;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::task::spawn_blocking;
use uuid::Uuid;

/// The blocks of a transaction. An edit of one of their messages waits for its end.
const STEP: i64 = 16;

/// How many transactions follow each other for one conversation.
const STEPS: usize = 8;

/// The conversations that a sweep looks at together.
const SLICE: i64 = 500;

/// A block has at most this many lexemes: a `tsvector` of more than a mebibyte is stored damaged.
const MAX_LEXEMES: usize = 4_096;

/// What [`index`] has done.
#[derive(Clone, Copy, Debug)]
pub struct Indexed {
    /// The number of blocks that were written.
    pub blocks: usize,
    /// There may be more to do.
    pub has_more: bool,
}

/// Writes blocks of a conversation, a limited number: other conversations wait meanwhile.
pub async fn index(delivery: &Delivery, id: ConversationId) -> Result<Indexed, Error> {
    let mut indexed = Indexed {
        blocks: 0,
        has_more: false,
    };
    for _ in 0..STEPS {
        let is_whole = !has_new(delivery, id).await? || insert(delivery, id, None).await?;
        let marked = move |conn: &mut Connection| blocks::marked(conn, id, STEP);
        let marked = delivery.pg.read("search_marked", marked).await?;
        if marked.is_empty() {
            return Ok(indexed);
        }
        indexed.blocks += marked.len();
        // Blocks that become full or marked meanwhile have their own hints.
        let is_last = is_whole && i64::try_from(marked.len()).is_ok_and(|len| len < STEP);
        let made = Arc::new(make(delivery, id, marked).await?);
        let write = move |conn: &mut Connection| write(conn, id, &made).map(Ok::<_, Infallible>);
        delivery.pg.transaction("search_write", write).await?.ok();
        if is_last {
            return Ok(indexed);
        }
    }
    indexed.has_more = true;
    Ok(indexed)
}

/// The same, and lets the indexer go on with the rest.
pub async fn index_and_hint(delivery: &Delivery, id: ConversationId) -> Result<(), Error> {
    if index(delivery, id).await?.has_more
        && let Some(service) = &delivery.search
    {
        service.hints.add([id]);
    }
    Ok(())
}

/// Inserts or marks blocks from the given one, or from the first new one. Returns whether these were the last.
///
/// Under the conversation's lock: an edit that does not find the block is committed before its messages are read, and a later one marks
/// it.
async fn insert(delivery: &Delivery, id: ConversationId, from: Option<i64>) -> Result<bool, Error> {
    let insert = move |conn: &mut Connection| {
        let Some(locked) = conversations::lock(conn, &[id])?.pop() else {
            return Ok(Ok::<_, Infallible>(true));
        };
        let first = match from {
            Some(first) => first,
            None => blocks::newest(conn, id)?.map_or(0, |newest| newest + 1),
        };
        let full = locked.last_seq.0 / BLOCK;
        blocks::insert(conn, id, first..full.min(first + STEP))?;
        Ok(Ok(first + STEP >= full))
    };
    let inserted = delivery.pg.transaction("search_insert", insert).await?;
    Ok(inserted.unwrap_or(true))
}

/// Whether a conversation has full blocks that are not in the index.
async fn has_new(delivery: &Delivery, id: ConversationId) -> Result<bool, Error> {
    let lag = move |conn: &mut Connection| blocks::lag(conn, id);
    Ok(delivery.pg.read("search_lag", lag).await? > 0)
}

/// Makes the lexemes of marked blocks, whose messages are read after their marks: what changes later marks them again. In no transaction,
/// since it may take longer than one may be idle.
async fn make(
    delivery: &Delivery,
    id: ConversationId,
    marked: Vec<MarkedBlock>,
) -> Result<Vec<(MarkedBlock, Vec<String>)>, Error> {
    let range = |one: &MarkedBlock| {
        let last = (one.block + 1) * BLOCK;
        (id, ConvSeq(last - BLOCK + 1), ConvSeq(last))
    };
    let ranges: Vec<_> = marked.iter().map(range).collect();
    let read = move |conn: &mut Connection| candidates::messages(conn, &ranges);
    let messages = delivery.pg.read("search_block_messages", read).await?;
    let made = spawn_blocking(move || {
        let of = |one: MarkedBlock| {
            let is_in = |message: &&Message| blocks::block_of(message.seq) == one.block;
            (one, block_lexemes(messages.iter().filter(is_in)))
        };
        marked.into_iter().map(of).collect()
    });
    made.await
        .map_err(|error| Error::Internal(error.to_string()))
}

fn block_lexemes<'a>(messages: impl Iterator<Item = &'a Message>) -> Vec<String> {
    let mut all = BTreeSet::new();
    for message in messages {
        lexemes(message, &mut all);
        if all.len() > MAX_LEXEMES {
            return vec![ANYTHING.to_owned()];
        }
    }
    all.into_iter().collect()
}

fn write(
    conn: &mut Connection,
    id: ConversationId,
    made: &[(MarkedBlock, Vec<String>)],
) -> StorageResult<()> {
    // Lexemes that a crash loses are written again: their blocks are marked.
    blocks::commit_lazily(conn)?;
    for (marked, lexemes) in made {
        blocks::write(conn, id, *marked, lexemes)?;
    }
    Ok(())
}

/// A slice of the sweep.
#[derive(Debug, Default)]
pub struct Swept {
    /// The last conversation; none at the end.
    pub last: Option<ConversationId>,
    /// The full blocks that were missing.
    pub missing: i64,
    /// A conversation could not be indexed.
    pub failed: bool,
}

/// Looks at conversations by id, and brings those up to date that have full blocks without an index.
pub async fn sweep(delivery: &Delivery, after: Option<ConversationId>) -> Result<Swept, Error> {
    let lags = move |conn: &mut Connection| blocks::lags(conn, after, SLICE);
    let lags = delivery.pg.read("search_lags", lags).await?;
    let behind: Vec<_> = lags.iter().filter(|one| one.blocks > 0).collect();
    let mut failed = false;
    for one in &behind {
        // `Pg` has logged it, and the next sweep tries again.
        failed |= index_and_hint(delivery, one.conversation).await.is_err();
    }
    let is_end = i64::try_from(lags.len()).is_ok_and(|len| len < SLICE);
    Ok(Swept {
        last: lags.last().filter(|_| !is_end).map(|one| one.conversation),
        missing: behind.iter().map(|one| one.blocks).sum(),
        failed,
    })
}

/// Writes blocks that were marked, and that no hint has named. Returns how many are left, up to a limit.
pub async fn write_marked(delivery: &Delivery) -> Result<i64, Error> {
    let mut after = ConversationId(Uuid::nil());
    loop {
        let marked = move |conn: &mut Connection| blocks::with_marks(conn, after, SLICE);
        let page = delivery.pg.read("search_marks", marked).await?;
        let Some(last) = page.last() else { break };
        after = *last;
        for id in page {
            // One that fails must not hold up the others. `Pg` has logged it, and the next sweep tries again.
            let _logged = index_and_hint(delivery, id).await;
        }
    }
    Ok(delivery
        .pg
        .read("search_marks_left", blocks::count_marked)
        .await?)
}

/// What [`rebuild`] has done.
#[derive(Debug, Default)]
pub struct RebuiltIndex {
    /// The number of blocks that were written.
    pub blocks: usize,
    /// The conversations that could not be indexed whole.
    pub failed: Vec<ConversationId>,
}

/// Makes the whole index again, conversation by conversation, while nodes may serve. Calls `done` with the number of conversations so far.
pub async fn rebuild(delivery: &Delivery, done: impl Fn(usize)) -> Result<RebuiltIndex, Error> {
    let (mut after, mut conversations) = (None, 0);
    let mut rebuilt = RebuiltIndex::default();
    loop {
        let page = move |conn: &mut Connection| blocks::lags(conn, after, SLICE);
        let page = delivery.pg.read("search_lags", page).await?;
        let Some(last) = page.last() else {
            return Ok(rebuilt);
        };
        after = Some(last.conversation);
        for one in &page {
            match rebuild_one(delivery, one.conversation).await {
                Ok(blocks) => rebuilt.blocks += blocks,
                Err(_logged) => rebuilt.failed.push(one.conversation),
            }
            conversations += 1;
            done(conversations);
        }
    }
}

async fn rebuild_one(delivery: &Delivery, id: ConversationId) -> Result<usize, Error> {
    // No block is deleted: a page that has begun counts on them, and their versions must not begin again.
    let mut first = 0;
    while !insert(delivery, id, Some(first)).await? {
        first += STEP;
    }
    let mut written = 0;
    loop {
        let indexed = index(delivery, id).await?;
        written += indexed.blocks;
        if !indexed.has_more {
            return Ok(written);
        }
    }
}
