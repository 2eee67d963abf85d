//! A page of results.
//!
//! Messages are looked at from the newest to the oldest, block by block. The index says which blocks may have a match. What it does not
//! have yet, the tail of each conversation, is cut into blocks of the same size. A result is returned when no block that is still to be
//! looked at can have a newer one. `created_at` never falls within a conversation (decision 0005), so the time of its newest message is
//! the bound of a block.

use crate::engine::reading::message_views::{ShownMessage, personalise};
use crate::engine::search::filter::{Filter, Match};
use crate::model::ids::{ConvSeq, ConversationId, UserId};
use crate::model::time::Timestamp;
use crate::model::wire::message::Message;
use crate::model::wire::search::FoundMessage;
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::messaging::{hidden, members};
use crate::storage::pg::search::blocks::BLOCK;
use crate::storage::pg::search::candidates::{self, Blocks, Candidate, Scope};
use std::collections::{BTreeSet, BinaryHeap, HashMap};

/// The most results of a page.
pub const MAX_PAGE: i64 = 50;

/// The most blocks that the index is asked for.
const MAX_BLOCKS: usize = 200;

/// The most messages that a page looks at, beside those of the blocks that its beginning cuts.
const MAX_MESSAGES: i64 = 6_400;

/// A page goes on to no other blocks when the contents that it has looked at have this many bytes.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The blocks that are read together.
const STEP: usize = 20;

/// The order of results: the newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HitPosition {
    /// When the message was stored.
    pub at: Timestamp,
    /// Its conversation.
    pub conversation: ConversationId,
    /// Its seq.
    pub seq: ConvSeq,
}

impl HitPosition {
    fn of(message: &Message) -> Self {
        Self {
            at: message.created_at,
            conversation: message.conversation_id,
            seq: message.seq,
        }
    }

    /// After all messages that were stored later, and before those of this time.
    pub fn after_later_than(at: Timestamp) -> Self {
        Self {
            at,
            conversation: ConversationId(uuid::Uuid::max()),
            seq: ConvSeq(i64::MAX),
        }
    }

    /// After all messages that were stored at this time or later.
    pub fn before(at: Timestamp) -> Self {
        Self {
            at,
            conversation: ConversationId(uuid::Uuid::nil()),
            seq: ConvSeq(0),
        }
    }
}

/// A search.
pub struct Search {
    /// Who searches.
    pub caller: UserId,
    /// The conversations; none: all of the caller.
    pub only: Vec<ConversationId>,
    /// What is searched for.
    pub filter: Filter,
    /// Only messages of this time or later.
    pub from: Option<Timestamp>,
    /// Only messages after this position.
    pub after: Option<HitPosition>,
    /// The most results.
    pub limit: usize,
}

/// A result.
pub struct Hit {
    /// The message, as the caller may see it.
    pub message: Message,
    /// Where it matches.
    pub found: Match,
}

impl From<Hit> for FoundMessage {
    fn from(hit: Hit) -> Self {
        Self {
            highlights: hit.found.highlights(),
            message: hit.message,
        }
    }
}

/// A page of results, the newest first.
pub struct Hits {
    /// The results.
    pub hits: Vec<Hit>,
    /// Where the next page begins; none: all messages were looked at.
    pub next: Option<HitPosition>,
}

/// Messages that are looked at together: a block, or a part of a tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    newest_at: Timestamp,
    conversation: ConversationId,
    last: ConvSeq,
    first: ConvSeq,
    /// Messages before it that the index does not have, down to this seq.
    tail_from: Option<ConvSeq>,
}

/// The results of a page; none if the caller is not in one of the conversations.
pub fn page(conn: &mut Connection, search: &Search) -> StorageResult<Option<Hits>> {
    let mut scopes = candidates::scopes(conn, search.caller, &search.only)?;
    if scopes.len() < search.only.len() {
        return Ok(None);
    }
    let query = search.filter.block_query();
    if query.is_none() {
        // Every message matches, so the index is of no use.
        scopes.iter_mut().for_each(|one| one.indexed = ConvSeq(0));
    }
    // The tails first: a block that is finished meanwhile would otherwise be in neither.
    let mut sources = tails(conn, search, &scopes)?;
    let (found, mut rest_at) = match &query {
        Some(query) => blocks(conn, search, query, &scopes)?,
        None => (Vec::new(), None),
    };
    let of: HashMap<_, _> = scopes.iter().map(|one| (one.conversation, one)).collect();
    sources.extend(found.into_iter().filter_map(|one| {
        let scope = of.get(&one.conversation)?;
        let source = Source {
            newest_at: one.newest_at,
            conversation: one.conversation,
            first: ConvSeq(one.block * BLOCK + 1).max(scope.floor.next()),
            last: ConvSeq((one.block + 1) * BLOCK),
            tail_from: None,
        };
        (source.last <= scope.indexed).then_some(source)
    }));
    let mut hits = Vec::new();
    let (mut budget, mut bytes) = (MAX_MESSAGES, 0);
    while let Some(newest) = sources.peek() {
        // A block that the beginning of the page cuts may have the next message, so it is always looked at.
        let is_cut = search
            .after
            .is_some_and(|after| newest.newest_at >= after.at);
        let bound = rest_at.max(Some(newest.newest_at));
        let ready = hits
            .iter()
            .filter(|hit: &&Hit| Some(hit.message.created_at) > bound);
        if !is_cut && (budget <= 0 || bytes >= MAX_BYTES || ready.count() >= search.limit) {
            break;
        }
        let mut step = Vec::new();
        while step.len() < STEP
            && let Some(source) = sources.pop()
        {
            step.push(source);
        }
        budget -= step
            .iter()
            .map(|one| one.last.0 - one.first.0 + 1)
            .sum::<i64>();
        bytes += look(conn, search, &of, &step, &mut sources, &mut hits)?;
    }
    rest_at = rest_at.max(sources.peek().map(|one| one.newest_at));
    hits.retain(|hit| Some(hit.message.created_at) > rest_at);
    hits.sort_unstable_by_key(|hit| std::cmp::Reverse(HitPosition::of(&hit.message)));
    let mut next = rest_at.map(HitPosition::after_later_than);
    if hits.len() > search.limit {
        hits.truncate(search.limit);
        next = hits.last().map(|hit| HitPosition::of(&hit.message));
    }
    show(conn, search.caller, &mut hits)?;
    Ok(Some(Hits { hits, next }))
}

/// The blocks that may have a match, and the newest time of those that are left out.
fn blocks(
    conn: &mut Connection,
    search: &Search,
    query: &str,
    scopes: &[Scope],
) -> StorageResult<(Vec<Candidate>, Option<Timestamp>)> {
    let blocks = Blocks {
        query,
        scopes,
        from: search.from,
        before: search.after.map(|after| after.at),
    };
    let mut found = candidates::newest(conn, &blocks, MAX_BLOCKS as i64 + 1)?;
    let rest_at = match found.len() > MAX_BLOCKS {
        true => found.pop().map(|one| one.newest_at),
        false => None,
    };
    if let Some(after) = search.after {
        found.extend(candidates::around(conn, &blocks, after.at)?);
    }
    Ok((found, rest_at))
}

/// Leaves out what the reader may not see any more, and shows the rest as the reader may see it.
fn show(conn: &mut Connection, reader: UserId, hits: &mut Vec<Hit>) -> StorageResult<()> {
    let places: BTreeSet<_> = hits
        .iter()
        .map(|hit| (reader, hit.message.conversation_id))
        .collect();
    if places.is_empty() {
        return Ok(());
    }
    let visible = members::visible(conn, &places.into_iter().collect::<Vec<_>>())?;
    let after = |message: &Message| {
        visible
            .get(&(reader, message.conversation_id))
            .map(|one| one.after)
    };
    hits.retain(|hit| after(&hit.message).is_some_and(|after| after < hit.message.seq));
    let shown = hits.iter_mut().map(|hit| ShownMessage {
        reader,
        after: after(&hit.message).unwrap_or_default(),
        message: &mut hit.message,
    });
    personalise(conn, shown)
}

/// The newest part of each tail.
fn tails(
    conn: &mut Connection,
    search: &Search,
    scopes: &[Scope],
) -> StorageResult<BinaryHeap<Source>> {
    let first = |one: &Scope| one.floor.max(one.indexed).next();
    let mut tails: HashMap<_, _> = scopes
        .iter()
        .filter(|one| first(one) <= one.last_seq)
        .map(|one| (one.conversation, one.last_seq))
        .collect();
    let newest: Vec<_> = tails.iter().map(|(id, last)| (*id, *last)).collect();
    let times = candidates::times(conn, &newest)?;
    let mut newest_at: HashMap<_, _> = times.into_iter().map(|((id, _), at)| (id, at)).collect();
    if let Some(after) = search.after {
        // Where newer messages begin is found by halving: between the first number, which is not one of them, and the second.
        let mut halves: HashMap<_, _> = scopes
            .iter()
            .filter(|one| {
                newest_at
                    .get(&one.conversation)
                    .is_some_and(|at| *at > after.at)
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
                if at > after.at {
                    *high = middle;
                } else {
                    *low = middle;
                    newest_at.insert(id, at);
                    tails.insert(id, middle);
                }
            }
        }
    }
    let sources = scopes.iter().filter_map(|one| {
        let (last, at) = (
            tails.get(&one.conversation)?,
            newest_at.get(&one.conversation)?,
        );
        let is_late = search.from.is_none_or(|from| *at >= from);
        is_late.then(|| part(one.conversation, first(one), *last, *at))
    });
    Ok(sources.collect())
}

/// The newest part of the messages of a tail.
fn part(
    conversation: ConversationId,
    from: ConvSeq,
    last: ConvSeq,
    newest_at: Timestamp,
) -> Source {
    let first = from.max(ConvSeq(last.0 - BLOCK + 1));
    Source {
        newest_at,
        conversation,
        last,
        first,
        tail_from: (first > from).then_some(from),
    }
}

/// Looks at messages, and adds what matches, and the parts of tails that come next. Returns the bytes of their contents.
fn look(
    conn: &mut Connection,
    search: &Search,
    scopes: &HashMap<ConversationId, &Scope>,
    step: &[Source],
    sources: &mut BinaryHeap<Source>,
    hits: &mut Vec<Hit>,
) -> StorageResult<usize> {
    let range = |one: &Source| {
        // With the message before a part of a tail: its time is that of the next part.
        let first = one.first.0 - i64::from(one.tail_from.is_some());
        (one.conversation, ConvSeq(first), one.last)
    };
    let ranges: Vec<_> = step.iter().map(range).collect();
    let (mut found, mut bytes) = (Vec::new(), 0);
    for message in candidates::messages(conn, &ranges)? {
        let id = message.conversation_id;
        bytes += message.body.content.get().len();
        let next = step.iter().find(|one| {
            one.conversation == id && one.tail_from.is_some() && one.first == message.seq.next()
        });
        if let Some(from) = next.and_then(|one| one.tail_from) {
            if search.from.is_none_or(|from| message.created_at >= from) {
                sources.push(part(id, from, message.seq, message.created_at));
            }
            continue;
        }
        let is_visible = scopes.get(&id).is_some_and(|one| one.floor < message.seq);
        let is_after = search
            .after
            .is_none_or(|after| HitPosition::of(&message) < after);
        let is_late = search.from.is_none_or(|from| message.created_at >= from);
        if is_visible
            && is_after
            && is_late
            && let Some(places) = search.filter.find(&message)
        {
            found.push(Hit {
                message,
                found: places,
            });
        }
    }
    let keys: Vec<_> = found
        .iter()
        .map(|hit| (hit.message.conversation_id, hit.message.seq))
        .collect();
    if keys.is_empty() {
        return Ok(bytes);
    }
    let hidden = hidden::among(conn, search.caller, &keys)?;
    found.retain(|hit| !hidden.contains(&(hit.message.conversation_id, hit.message.seq)));
    hits.append(&mut found);
    Ok(bytes)
}
