//! The index of the search. Sends do not write it: full blocks are found by hints of the writer, and by a sweep.

use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::search::filter::lexemes;
use crate::model::ids::{ConvSeq, ConversationId};
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::messaging::conversations;
use crate::storage::pg::search::blocks::{self, ANYTHING, BLOCK, MarkedBlock};
use crate::storage::pg::search::candidates;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

/// The blocks of a transaction. An edit of one of their messages waits for its end.
const STEP: i64 = 16;

/// The conversations that a sweep looks at together.
const SLICE: i64 = 500;

/// A block has at most this many lexemes: a `tsvector` of more than a mebibyte is stored damaged.
const MAX_LEXEMES: usize = 4_096;

/// Brings the index of a conversation up to date. Returns the number of blocks that were written.
pub async fn index(delivery: &Delivery, id: ConversationId) -> Result<usize, Error> {
    let mut written = 0;
    loop {
        if has_new(delivery, id).await? {
            insert(delivery, id, None).await?;
        }
        let marked = move |conn: &mut Connection| blocks::marked(conn, id, STEP);
        let marked = delivery.pg.read("search_marked", marked).await?;
        if marked.is_empty() {
            return Ok(written);
        }
        written += marked.len();
        let write = move |conn: &mut Connection| write(conn, id, &marked).map(Ok::<_, Infallible>);
        delivery.pg.transaction("search_write", write).await?.ok();
    }
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

/// Writes the lexemes of marked blocks, which are read after their marks.
fn write(conn: &mut Connection, id: ConversationId, marked: &[MarkedBlock]) -> StorageResult<()> {
    // Lexemes that a crash loses are written again: their blocks are marked.
    blocks::commit_lazily(conn)?;
    let range = |one: &MarkedBlock| {
        let last = (one.block + 1) * BLOCK;
        (id, ConvSeq(last - BLOCK + 1), ConvSeq(last))
    };
    let ranges: Vec<_> = marked.iter().map(range).collect();
    let mut all: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
    for message in candidates::messages(conn, &ranges)? {
        lexemes(
            &message,
            all.entry(blocks::block_of(message.seq)).or_default(),
        );
    }
    for one in marked {
        let lexemes = all.remove(&one.block).unwrap_or_default();
        let lexemes = match lexemes.len() > MAX_LEXEMES {
            true => vec![ANYTHING.to_owned()],
            false => lexemes.into_iter().collect(),
        };
        blocks::write(conn, id, *one, &lexemes)?;
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
        failed |= index(delivery, one.conversation).await.is_err();
    }
    let is_end = i64::try_from(lags.len()).is_ok_and(|len| len < SLICE);
    Ok(Swept {
        last: lags.last().filter(|_| !is_end).map(|one| one.conversation),
        missing: behind.iter().map(|one| one.blocks).sum(),
        failed,
    })
}

/// Writes blocks that were marked, and that no hint has named.
pub async fn write_marked(delivery: &Delivery) -> Result<(), Error> {
    let marked = |conn: &mut Connection| blocks::with_marks(conn, SLICE);
    for id in delivery.pg.read("search_marks", marked).await? {
        index(delivery, id).await?;
    }
    Ok(())
}

/// Makes the whole index again, conversation by conversation, while nodes may serve. Calls `done` with the number of conversations so far,
/// and returns the number of blocks.
pub async fn rebuild(delivery: &Delivery, done: impl Fn(usize)) -> Result<usize, Error> {
    let (mut after, mut conversations, mut written) = (None, 0, 0);
    loop {
        let page = move |conn: &mut Connection| blocks::lags(conn, after, SLICE);
        let page = delivery.pg.read("search_lags", page).await?;
        let Some(last) = page.last() else {
            return Ok(written);
        };
        after = Some(last.conversation);
        for one in &page {
            let id = one.conversation;
            // No block is deleted: a page that has begun counts on them, and their versions must not begin again.
            let mut first = 0;
            while !insert(delivery, id, Some(first)).await? {
                first += STEP;
            }
            written += index(delivery, id).await?;
            conversations += 1;
            done(conversations);
        }
    }
}
