//! A page of results. Messages are looked at from the newest to the oldest, block by block. A result is returned when no block that is
//! still to be looked at can have a newer one.

use crate::engine::reading::message_views::{ShownMessage, personalise};
use crate::engine::search::filter::{Filter, Match};
use crate::engine::search::position::HitPosition;
use crate::engine::search::sources::{self, PageBlock, PageScope};
use crate::model::ids::{ConvSeq, ConversationId, UserId};
use crate::model::time::Timestamp;
use crate::model::wire::message::Message;
use crate::model::wire::search::FoundMessage;
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::messaging::{hidden, members};
use crate::storage::pg::search::candidates::{self, Scope};
use std::collections::{BTreeSet, BinaryHeap, HashMap};

/// The most results of a page.
pub const MAX_PAGE: i64 = 50;

/// The most messages that a page looks at.
const MAX_MESSAGES: i64 = 6_400;

/// A page goes on to no other block when the contents that it has looked at have this many bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// The blocks that are read together.
const STEP: usize = 20;

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

impl Hit {
    fn position(&self) -> HitPosition {
        HitPosition::of(&self.message)
    }
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

/// What a page may still look at.
struct Budget {
    messages: i64,
    bytes: usize,
}

impl Budget {
    fn is_spent(&self) -> bool {
        self.messages <= 0 || self.bytes == 0
    }
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
    let asked = PageScope {
        query: query.as_deref(),
        from: search.from,
        after: search.after,
    };
    let (mut sources, mut rest) = sources::all(conn, &asked, &scopes)?;
    let of: HashMap<_, _> = scopes.iter().map(|one| (one.conversation, one)).collect();
    let mut hits = Vec::new();
    let mut budget = Budget {
        messages: MAX_MESSAGES,
        bytes: MAX_BYTES,
    };
    while let Some(newest) = sources.peek() {
        let bound = rest.max(Some(newest.bound()));
        let ready = hits
            .iter()
            .filter(|hit: &&Hit| Some(hit.position()) > bound);
        if budget.is_spent() || ready.count() >= search.limit {
            break;
        }
        let mut step = Vec::new();
        while step.len() < STEP
            && let Some(source) = sources.pop()
        {
            step.push(source);
        }
        look(
            conn,
            search,
            &of,
            &step,
            &mut sources,
            &mut budget,
            &mut hits,
        )?;
    }
    rest = rest.max(sources.peek().map(PageBlock::bound));
    hits.retain(|hit| Some(hit.position()) > rest);
    hits.sort_unstable_by_key(|hit| std::cmp::Reverse(hit.position()));
    // The next page begins with the bound itself.
    let mut next = rest.map(|bound| HitPosition {
        seq: bound.seq.next(),
        ..bound
    });
    if hits.len() > search.limit {
        hits.truncate(search.limit);
        next = hits.last().map(Hit::position);
    }
    show(conn, search.caller, &mut hits)?;
    Ok(Some(Hits { hits, next }))
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

/// Looks at messages, and adds what matches, the parts of tails that come next, and the blocks for which the budget is too small.
fn look(
    conn: &mut Connection,
    search: &Search,
    scopes: &HashMap<ConversationId, &Scope>,
    step: &[PageBlock],
    sources: &mut BinaryHeap<PageBlock>,
    budget: &mut Budget,
    hits: &mut Vec<Hit>,
) -> StorageResult<()> {
    // With the message before a part of a tail: its time is that of the next part.
    let first = |one: &PageBlock| ConvSeq(one.first.0 - i64::from(one.tail_from.is_some()));
    let ranges: Vec<_> = step
        .iter()
        .map(|one| (one.conversation, first(one), one.last))
        .collect();
    let mut of_range: HashMap<_, Vec<Message>> = HashMap::new();
    for message in candidates::messages(conn, &ranges)? {
        let of = step.iter().position(|one| {
            one.conversation == message.conversation_id
                && (first(one)..=one.last).contains(&message.seq)
        });
        of_range.entry(of).or_default().push(message);
    }
    let mut found = Vec::new();
    for (at, source) in step.iter().enumerate() {
        if at > 0 && budget.is_spent() {
            sources.push(*source);
            continue;
        }
        budget.messages -= source.last.0 - source.first.0 + 1;
        for message in of_range.remove(&Some(at)).unwrap_or_default() {
            let id = message.conversation_id;
            budget.bytes = budget
                .bytes
                .saturating_sub(message.body.content.get().len());
            let is_late = search.from.is_none_or(|from| message.created_at >= from);
            if message.seq < source.first {
                if let Some(from) = source.tail_from.filter(|_| is_late) {
                    sources.push(PageBlock::part(id, from, message.seq, message.created_at));
                }
                continue;
            }
            let is_visible = scopes.get(&id).is_some_and(|one| one.floor < message.seq);
            let is_after = search
                .after
                .is_none_or(|after| HitPosition::of(&message) < after);
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
    }
    let keys: Vec<_> = found
        .iter()
        .map(|hit| (hit.message.conversation_id, hit.message.seq))
        .collect();
    if keys.is_empty() {
        return Ok(());
    }
    let hidden = hidden::among(conn, search.caller, &keys)?;
    found.retain(|hit| !hidden.contains(&(hit.message.conversation_id, hit.message.seq)));
    hits.append(&mut found);
    Ok(())
}
