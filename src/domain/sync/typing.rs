//! Who types: signals to the waits that look at the conversation, never stored. Signals are best effort: a failure delays or loses them, and
//! fails no request.

use crate::engine::admission::Admission;
use crate::engine::admission::load_shedding::Priority;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::waiting::access_cache::TTL;
use crate::engine::waiting::registry::Wake;
use crate::engine::waiting::typing::{REPEAT, TypingChange};
use crate::model::account::Caller;
use crate::model::ids::{ConversationId, UserId};
use crate::model::wire::signals::{TypingMark, TypingSignal};
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::people::blocks;
use crate::storage::pg::sync::{typing as rows, watched};
use crate::storage::redis::sync::channel::Channel;
use crate::storage::redis::sync::notices::publish_typing;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long it is cached whether a user may see another type. A block by the other writes no entry for the user, so on other nodes than
/// that of the block only this time ends it.
const READER_TTL: Duration = Duration::from_secs(5);

/// The maximum number of conversations of which a wait shows who types.
pub const TYPING_WATCH: usize = 4;

/// Accesses of one query.
const BATCH: usize = 10_000;

/// Tells the members that look at a conversation that the caller types, or no longer does.
pub async fn update(
    delivery: &Delivery,
    admission: &Admission,
    caller: Caller,
    id: ConversationId,
    is_typing: bool,
) -> Result<(), Error> {
    let typing = &delivery.waiters.typing;
    if may_type(delivery, admission, caller.user, id).await?
        && typing.publishes(caller.user, id, is_typing)
    {
        delivery.metrics.typing_published.inc();
        let signal = (id, caller.user, is_typing);
        publish_typing(&delivery.redis, delivery.epoch, signal).await;
    }
    Ok(())
}

async fn may_type(
    delivery: &Delivery,
    admission: &Admission,
    user: UserId,
    id: ConversationId,
) -> Result<bool, Error> {
    let senders = &delivery.waiters.typing.senders;
    // Without the signals of the inbox, this node does not learn that the user has left.
    let ttl = match delivery.notices.is_active(Channel::Inbox(user)) {
        true => TTL,
        false => REPEAT,
    };
    if let Some(may) = senders.get(user, (id, user), ttl) {
        return Ok(may);
    }
    admission.admit(Priority::History)?;
    let query = senders.begin(user);
    let limit = delivery.config.typing_members;
    let read = move |conn: &mut Connection| rows::may_type(conn, id, user, limit);
    let may = delivery.pg.read("typing_sender", read).await?;
    let may = may.ok_or(Error::NotFound)?;
    senders.store(query, user, (id, user), may);
    Ok(may)
}

/// The changes since the marks of a client.
pub async fn signals(
    delivery: &Delivery,
    reader: UserId,
    marks: &[(ConversationId, TypingMark)],
) -> Vec<TypingSignal> {
    let typing = &delivery.waiters.typing;
    let changes = marks.iter();
    let changes = changes.filter_map(|(id, mark)| typing.change(reader, *id, *mark));
    let signals = visible(delivery, changes.collect()).await;
    signals.into_iter().flatten().collect()
}

/// Wakes the waits that have something to tell.
pub async fn wake(delivery: &Delivery) {
    let (waits, changes): (Vec<_>, Vec<_>) = delivery.waiters.typing.take_due().into_iter().unzip();
    let readers: Vec<_> = changes.iter().map(|change| change.reader).collect();
    let signals = visible(delivery, changes).await;
    let signals = readers.into_iter().zip(waits).zip(signals);
    let woken = signals.filter_map(|(wait, signal)| signal.map(|_| wait));
    delivery.waiters.wake_waits(woken, Wake::Typing);
}

/// What each reader may see: nothing of a conversation that the reader is not in, and no user who is not a member or with whom there
/// is a block.
async fn visible(delivery: &Delivery, changes: Vec<TypingChange>) -> Vec<Option<TypingSignal>> {
    let readers = &delivery.waiters.typing.readers;
    let mut known = BTreeMap::new();
    let mut unknown = Vec::new();
    for change in &changes {
        for other in change.typists.iter().chain([&change.reader]) {
            let access = (change.conversation, *other);
            match readers.get(change.reader, access, READER_TTL) {
                Some(may) => drop(known.insert((change.reader, access), may)),
                None => unknown.push((change.reader, access)),
            }
        }
    }
    for asked in unknown.chunks(BATCH) {
        let queries: BTreeMap<_, _> = asked
            .iter()
            .map(|(reader, _)| (*reader, readers.begin(*reader)))
            .collect();
        let asked = asked.to_vec();
        let read = move |conn: &mut Connection| accesses(conn, &asked);
        // `Pg` has logged the error. What is not known is not shown.
        let Ok(found) = delivery.pg.read("typing_readers", read).await else {
            break;
        };
        for (asked, may) in found {
            let (reader, access) = asked;
            if let Some(query) = queries.get(&reader) {
                readers.store(*query, reader, access, may);
            }
            known.insert(asked, may);
        }
    }
    let signal = |change: TypingChange| {
        let id = change.conversation;
        let may = |other| known.get(&(change.reader, (id, other))) == Some(&true);
        let mut user_ids = change.typists;
        user_ids.retain(|user| may(*user));
        let mark = TypingMark::of(user_ids.iter().copied());
        (may(change.reader) && mark != change.mark).then_some(TypingSignal {
            conversation_id: id,
            user_ids,
            mark,
        })
    };
    changes.into_iter().map(signal).collect()
}

/// A reader, and a user of a conversation.
type Asked = (UserId, (ConversationId, UserId));

/// Whether both are members of the conversation and neither blocks the other.
fn accesses(conn: &mut Connection, asked: &[Asked]) -> StorageResult<Vec<(Asked, bool)>> {
    let members: BTreeSet<_> = asked
        .iter()
        .flat_map(|(reader, (id, other))| [(*reader, *id), (*other, *id)])
        .collect();
    let members: Vec<_> = members.into_iter().collect();
    let members = watched::by_members(conn, &members)?;
    let others = asked.iter().filter(|(reader, (_, other))| reader != other);
    let pairs: BTreeSet<_> = others
        .flat_map(|(reader, (_, other))| [(*reader, *other), (*other, *reader)])
        .collect();
    let blocks = blocks::among(conn, pairs)?;
    let may = |(reader, (id, other)): &Asked| {
        let is_member = |user| members.contains_key(&(user, *id));
        let blocks = |one, two| blocks.contains(&(one, two));
        let is_blocked = blocks(*reader, *other) || blocks(*other, *reader);
        is_member(*reader) && is_member(*other) && !is_blocked
    };
    Ok(asked.iter().map(|one| (*one, may(one))).collect())
}
