//! What a page looks at: blocks of messages that may match.
//!
//! The index says which blocks may have a match. It is not asked for what it does not have yet, the tail of each conversation, which is cut
//! into blocks of the same size. And it is not asked for the block in which the caller's part of a conversation begins: its lexemes are also
//! those of messages that the caller may not see, so what a page looks at would tell of them. `created_at` never falls within a
//! conversation (decision 0005), so no message of a block has a place above that of the newest one.

use crate::engine::search::position::HitPosition;
use crate::model::ids::{ConvSeq, ConversationId};
use crate::model::time::Timestamp;
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::search::blocks::{BLOCK, block_of};
use crate::storage::pg::search::candidates::{self, Blocks, Scope, UntilRange};
use chrono::TimeDelta;
use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

/// The most blocks that the index is asked for.
const MAX_BLOCKS: usize = 200;

/// Which messages a page is about.
pub struct PageScope<'a> {
    /// The `tsquery` of the blocks that may have a match; none if every message matches.
    pub query: Option<&'a str>,
    /// Only messages of this time or later.
    pub from: Option<Timestamp>,
    /// Only messages below this position.
    pub after: Option<HitPosition>,
}

impl PageScope<'_> {
    fn is_late(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| at >= from)
    }

    /// A message at this place, and all below it, belong to the page.
    fn has_begun(&self, position: HitPosition) -> bool {
        self.after.is_none_or(|after| position < after)
    }
}

/// Messages that are looked at together: a block, or a part of a tail. In the order of their bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageBlock {
    newest_at: Timestamp,
    /// The conversation.
    pub conversation: ConversationId,
    /// The seq of its newest message.
    pub last: ConvSeq,
    /// The seq of its oldest message.
    pub first: ConvSeq,
    /// Messages before it that the index does not have, down to this seq.
    pub tail_from: Option<ConvSeq>,
}

impl PageBlock {
    /// The place of its newest message.
    pub fn bound(&self) -> HitPosition {
        HitPosition {
            at: self.newest_at,
            conversation: self.conversation,
            seq: self.last,
        }
    }

    /// The newest part of the messages of a tail.
    pub fn part(
        conversation: ConversationId,
        from: ConvSeq,
        last: ConvSeq,
        newest_at: Timestamp,
    ) -> Self {
        let first = from.max(ConvSeq(last.0 - BLOCK + 1));
        Self {
            newest_at,
            conversation,
            last,
            first,
            tail_from: (first > from).then_some(from),
        }
    }
}

/// All blocks that the page may look at, with bounds below its beginning, and the bound of those that the index has beyond.
pub fn all(
    conn: &mut Connection,
    asked: &PageScope<'_>,
    scopes: &[Scope],
) -> StorageResult<(BinaryHeap<PageBlock>, Option<HitPosition>)> {
    // The tails first: a block that is finished meanwhile would otherwise be in neither.
    let mut sources = tails(conn, asked, scopes)?;
    let mut found = floors(conn, asked, scopes)?;
    let mut rest = None;
    if let Some(query) = asked.query {
        let (blocks, beyond) = blocks(conn, query, asked, scopes)?;
        found.extend(blocks);
        rest = beyond;
    }
    sources.extend(begun(conn, asked, found)?);
    Ok((sources, rest))
}

/// The blocks that may have a match, and the bound of those that are left out.
fn blocks(
    conn: &mut Connection,
    query: &str,
    asked: &PageScope<'_>,
    scopes: &[Scope],
) -> StorageResult<(Vec<PageBlock>, Option<HitPosition>)> {
    let blocks = Blocks {
        query,
        scopes,
        from: asked.from,
        before: asked.after.map(|after| after.at),
    };
    let mut found = candidates::newest(conn, &blocks, MAX_BLOCKS as i64 + 1)?;
    let rest = found.split_off(found.len().min(MAX_BLOCKS));
    if let Some(after) = asked.after {
        found.extend(candidates::around(conn, &blocks, after.at)?);
    }
    let of: HashMap<_, _> = scopes.iter().map(|one| (one.conversation, one)).collect();
    let source = |one: &candidates::Candidate| PageBlock {
        newest_at: one.newest_at,
        conversation: one.conversation,
        first: ConvSeq(one.block * BLOCK + 1),
        last: ConvSeq((one.block + 1) * BLOCK),
        tail_from: None,
    };
    // Later blocks are in the tails, too.
    let is_indexed = |one: &PageBlock| {
        of.get(&one.conversation)
            .is_some_and(|scope| one.last <= scope.indexed)
    };
    let rest = rest.first().map(|one| source(one).bound());
    Ok((found.iter().map(source).filter(is_indexed).collect(), rest))
}

/// The blocks in which the caller's parts of conversations begin, whatever they have.
fn floors(
    conn: &mut Connection,
    asked: &PageScope<'_>,
    scopes: &[Scope],
) -> StorageResult<Vec<PageBlock>> {
    let cut = scopes.iter().filter_map(|one| {
        let last = ConvSeq((block_of(one.floor) + 1) * BLOCK);
        let is_cut = one.floor.0 % BLOCK != 0 && last <= one.indexed;
        is_cut.then_some((one.conversation, (one.floor.next(), last)))
    });
    let cut: HashMap<_, _> = cut.collect();
    if cut.is_empty() {
        return Ok(Vec::new());
    }
    let newest: Vec<_> = cut.iter().map(|(id, (_, last))| (*id, *last)).collect();
    let times = candidates::times(conn, &newest)?;
    let source = |((conversation, last), newest_at): (_, Timestamp)| {
        let (first, _) = *cut.get(&conversation)?;
        asked.is_late(newest_at).then_some(PageBlock {
            newest_at,
            conversation,
            last,
            first,
            tail_from: None,
        })
    };
    Ok(times.into_iter().filter_map(source).collect())
}

/// Cuts those blocks that have messages above the beginning of the page.
fn begun(
    conn: &mut Connection,
    asked: &PageScope<'_>,
    mut found: Vec<PageBlock>,
) -> StorageResult<Vec<PageBlock>> {
    let cut: Vec<_> = found
        .extract_if(.., |one| !asked.has_begun(one.bound()))
        .collect();
    let (Some(after), false) = (asked.after, cut.is_empty()) else {
        return Ok(found);
    };
    let until = |one: &PageBlock| {
        let (last, at) = match one.conversation.cmp(&after.conversation) {
            Ordering::Less => (one.last, after.at),
            Ordering::Equal => (one.last.min(ConvSeq(after.seq.0 - 1)), after.at),
            Ordering::Greater => (one.last, Timestamp(after.at.0 - TimeDelta::microseconds(1))),
        };
        UntilRange {
            conversation: one.conversation,
            first: one.first,
            last,
            until: at,
        }
    };
    let ranges: Vec<_> = cut.iter().map(until).collect();
    let of: HashMap<_, _> = cut
        .iter()
        .map(|one| ((one.conversation, block_of(one.last)), one))
        .collect();
    let newest = candidates::newest_until(conn, &ranges)?;
    found.extend(
        newest
            .into_iter()
            .filter_map(|((conversation, last), newest_at)| {
                let one = of.get(&(conversation, block_of(last)))?;
                Some(PageBlock {
                    newest_at,
                    last,
                    ..**one
                })
            }),
    );
    Ok(found)
}

/// The newest part of each tail.
fn tails(
    conn: &mut Connection,
    asked: &PageScope<'_>,
    scopes: &[Scope],
) -> StorageResult<BinaryHeap<PageBlock>> {
    let first = |one: &Scope| one.floor.max(one.indexed).next();
    let mut tails: HashMap<_, _> = scopes
        .iter()
        .filter(|one| first(one) <= one.last_seq)
        .map(|one| (one.conversation, one.last_seq))
        .collect();
    let newest: Vec<_> = tails.iter().map(|(id, last)| (*id, *last)).collect();
    let times = candidates::times(conn, &newest)?;
    let mut newest_at: HashMap<_, _> = times.into_iter().map(|((id, _), at)| (id, at)).collect();
    let has_begun = |conversation, seq, at| {
        asked.has_begun(HitPosition {
            at,
            conversation,
            seq,
        })
    };
    // Where messages above the beginning of the page are, is found by halving: between the first number, which is not one of them, and
    // the second.
    let mut halves: HashMap<_, _> = scopes
        .iter()
        .filter(|one| {
            newest_at
                .get(&one.conversation)
                .is_some_and(|at| !has_begun(one.conversation, one.last_seq, *at))
        })
        .map(|one| (one.conversation, (ConvSeq(first(one).0 - 1), one.last_seq)))
        .collect();
    for id in halves.keys() {
        newest_at.remove(id);
    }
    loop {
        let open = halves.iter().filter(|(_, (low, high))| high.0 - low.0 > 1);
        let middles: Vec<_> = open
            .map(|(id, (low, high))| (*id, ConvSeq(low.0 + (high.0 - low.0) / 2)))
            .collect();
        if middles.is_empty() {
            break;
        }
        for ((id, middle), at) in candidates::times(conn, &middles)? {
            let Some((low, high)) = halves.get_mut(&id) else {
                continue;
            };
            if has_begun(id, middle, at) {
                *low = middle;
                newest_at.insert(id, at);
                tails.insert(id, middle);
            } else {
                *high = middle;
            }
        }
    }
    let sources = scopes.iter().filter_map(|one| {
        let id = one.conversation;
        let (last, at) = (tails.get(&id)?, newest_at.get(&id)?);
        asked
            .is_late(*at)
            .then(|| PageBlock::part(id, first(one), *last, *at))
    });
    Ok(sources.collect())
}
