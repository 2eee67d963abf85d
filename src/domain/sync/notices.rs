//! The wait: register, read the heads, sleep.

use crate::clock;
use crate::domain::people::presence;
use crate::domain::sync::position::{check_position, resync};
use crate::domain::sync::typing;
use crate::engine::admission::Admission;
use crate::engine::admission::load_shedding::Priority;
use crate::engine::auth::Auth;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::lifecycle::Lifecycle;
use crate::engine::presence::cursor::PresenceCursor;
use crate::engine::reading::unread_totals;
use crate::engine::waiting::head_query::{HeadSnapshot, load_heads};
use crate::engine::waiting::registry::{WaitGuard, Wake};
use crate::model::account::Caller;
use crate::model::ids::{ChangeSeq, ConversationId, Epoch, InboxSeq};
use crate::model::moved::{TimelineHeads, WatchPosition};
use crate::model::rate_limit::{Policy, QuotaStatus};
use crate::model::wire::people::presence::Activity;
use crate::model::wire::signals::{Signals, TypingMark};
use crate::storage::redis::sync::channel::Channel;
use crate::storage::redis::sync::unread::Total;
use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The longest wait.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(55);

/// The maximum number of conversations that a wait watches.
pub const WATCH: usize = 100;

/// The error if an address has too many waits.
fn too_many_waits(max: u32) -> Error {
    Error::RateLimited(QuotaStatus {
        policy: Policy {
            name: "waits",
            interval: Duration::ZERO,
            burst: max,
        },
        remaining: 0,
        reset_after: Duration::ZERO,
        retry_after: Some(Duration::from_secs(5)),
    })
}

/// The answer to a wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notice {
    /// The inbox has entries after the requested position.
    pub news: bool,
    /// The head of the inbox.
    pub last_seq: InboxSeq,
    /// The sum of the unread counts as of the head.
    pub total_unread: i64,
    /// The node drains: wait again after this time, on another connection.
    pub reconnect_after: Option<Duration>,
    /// A newer wait of this device runs on this node.
    pub superseded: bool,
    /// The heads of watched conversations with messages or changes that the device has not seen, and of `reads_moved`.
    pub watched: Vec<(ConversationId, TimelineHeads)>,
    /// The watched conversation in which another member's read position has moved.
    pub reads_moved: Option<ConversationId>,
    /// The signals, if any were asked for.
    pub signals: Option<Box<Signals>>,
}

/// The position from which a wait waits.
#[derive(Clone, Debug)]
pub struct Position {
    /// The last seq of the inbox that the device has.
    pub since: InboxSeq,
    /// The epoch of the position, which is checked if present.
    pub epoch: Option<Epoch>,
    /// Watched conversations, and how much of each the device has.
    pub watch: Vec<(ConversationId, WatchPosition)>,
    /// What the user of the device does, if the client says it.
    pub activity: Option<Activity>,
    /// The signals that are asked for. Most waits ask for none.
    pub looks: Option<Box<Looks>>,
}

/// The signals that a wait asks for, with what its client has.
#[derive(Clone, Debug, Default)]
pub struct Looks {
    /// Who types in these conversations, if that is asked for.
    pub typing: Vec<(ConversationId, TypingMark)>,
    /// Who is online.
    pub presence: Option<Arc<PresenceCursor>>,
    /// A change of presence ends the wait.
    pub wakes: bool,
}

impl Position {
    fn watch_ids(&self) -> Vec<ConversationId> {
        self.watch.iter().map(|(id, _)| *id).collect()
    }

    /// The heads that the device has not seen.
    fn moved(
        &self,
        heads: Vec<(ConversationId, TimelineHeads)>,
        is_news: impl Fn(ConversationId, ChangeSeq, ChangeSeq) -> bool,
    ) -> Vec<(ConversationId, TimelineHeads)> {
        let seen: HashMap<_, _> = self.watch.iter().copied().collect();
        let is_new = |(id, head): &(ConversationId, TimelineHeads)| {
            seen.get(id).is_some_and(|seen| {
                let has_changed = |change| is_news(*id, change, head.change_seq);
                seen.last_seq < head.last_seq || seen.change_seq.is_some_and(has_changed)
            })
        };
        heads.into_iter().filter(is_new).collect()
    }
}

/// A wait after its first phases.
pub enum Wait {
    /// It is answered immediately.
    Over(Notice),
    /// It sleeps. The future resolves to the answer, and dropping it ends the wait.
    Asleep(Asleep),
}

/// A sleeping wait.
type Asleep = Pin<Box<dyn Future<Output = Result<Notice, Error>>>>;

/// Waits until the caller's inbox or a watched conversation goes beyond `position`, at most for `timeout`.
///
/// The order of the phases matters: if the heads were read before the registration, a commit in between would be missed.
pub async fn wait(
    delivery: &Arc<Delivery>,
    auth: &Auth,
    admission: &Admission,
    lifecycle: &Lifecycle,
    caller: Caller,
    position: Position,
    timeout: Duration,
) -> Result<Wait, Error> {
    admission.admit(Priority::Wait)?;
    let mut guard = register(delivery, admission, caller, &position, timeout)?;
    let is_subscribed = guard.is_some() && subscribe(delivery, caller, &position).await;
    let seen = snapshot(delivery, caller, &position, is_subscribed).await?;
    validate(delivery, caller, &position, &seen).await?;
    delivery.delivered.note(caller, position.since);
    // Not before: a wait that is refused leaves the older one alone, and shows nobody online.
    if let Some(guard) = &mut guard {
        guard.supersede_older(caller.device);
        guard.keep_online(caller.device, position.activity, auth.tokens.clock.now());
        let looks = position.looks.as_deref().filter(|looks| looks.wakes);
        if let Some(cursor) = looks.and_then(|looks| looks.presence.as_ref()) {
            guard.subscribe(cursor);
        }
    }
    // Redis counts no conversation with read fan-out, and a watched one may have a new message as well.
    let total_is_all = seen.large_unread.is_none() && position.watch.is_empty();
    // After an announcement of changes, the next one follows only after a pause.
    let is_news = |id, seen, head| delivery.waiters.changes.is_news(id, seen, head);
    let has_news = seen.head > position.since || !position.moved(seen.watched, is_news).is_empty();
    let Some(guard) = guard.filter(|_| !has_news) else {
        let notice = answer(delivery, caller, &position).await?;
        let notice = with_signals(delivery, caller, &position, notice).await;
        return Ok(Wait::Over(notice));
    };
    if lifecycle.is_draining() {
        return Ok(Wait::Over(reconnect(delivery, caller, &position).await?));
    }
    let end = clock::tick_after(timeout.min(token_life(auth, caller)?));
    let sleeper = Sleeper {
        delivery: Arc::clone(delivery),
        caller,
        position,
        total_is_all,
    };
    Ok(Wait::Asleep(sleeper.sleep(guard, end.into())))
}

/// Registers the wait on this node. A probe (no timeout) does not wait, and must not supersede a wait that does.
fn register(
    delivery: &Delivery,
    admission: &Admission,
    caller: Caller,
    position: &Position,
    timeout: Duration,
) -> Result<Option<WaitGuard>, Error> {
    if timeout.is_zero() {
        return Ok(None);
    }
    let max = admission.waits_per_address;
    let limit = usize::try_from(max).unwrap_or(usize::MAX);
    let guard = delivery
        .waiters
        .register(caller, position.since, &position.watch, limit);
    let mut guard = guard.ok_or_else(|| too_many_waits(max))?;
    // Before the subscription, so that its time is known.
    if let Some(looks) = &position.looks
        && !looks.typing.is_empty()
    {
        guard.look(&looks.typing);
    }
    Ok(Some(guard))
}

/// Subscribes to the signals of other nodes. Without Redis the sweep wakes the wait.
async fn subscribe(delivery: &Delivery, caller: Caller, position: &Position) -> bool {
    let watched = position.watch.iter().map(|(id, _)| Channel::Watch(*id));
    let looks = position.looks.iter().flat_map(|looks| &looks.typing);
    let looks = looks.map(|(id, _)| Channel::Watch(*id));
    let channels = watched.chain(looks).chain([Channel::Inbox(caller.user)]);
    let channels: Vec<_> = channels.collect();
    delivery.notices.subscribe(&channels).await.is_ok()
}

/// Reads the heads. Most waits follow one that timed out: then the sweep has just read the head, and PostgreSQL is not
/// queried.
async fn snapshot(
    delivery: &Delivery,
    caller: Caller,
    position: &Position,
    is_subscribed: bool,
) -> Result<HeadSnapshot, Error> {
    if is_subscribed
        && position.watch.is_empty()
        && delivery.waiters.head_cache.head(caller.user) == Some(position.since)
    {
        return Ok(HeadSnapshot {
            head: position.since,
            ..HeadSnapshot::default()
        });
    }
    load_heads(&delivery.heads, caller.user, position.watch_ids()).await
}

/// Refuses a position of another epoch or beyond a head, and a watched conversation that the caller is not in.
async fn validate(
    delivery: &Delivery,
    caller: Caller,
    position: &Position,
    seen: &HeadSnapshot,
) -> Result<(), Error> {
    check_position(delivery, caller, position.since, seen.head, position.epoch).await?;
    if seen.watched.len() < position.watch.len() {
        return Err(Error::NotFound);
    }
    let heads: HashMap<_, _> = seen.watched.iter().copied().collect();
    let is_ahead = |(id, seen): &(ConversationId, WatchPosition)| {
        heads.get(id).is_none_or(|head| {
            head.last_seq < seen.last_seq || Some(head.change_seq) < seen.change_seq
        })
    };
    if position.watch.iter().any(is_ahead) {
        return Err(Error::CursorAhead(
            resync(delivery, caller, seen.head).await?,
        ));
    }
    Ok(())
}

/// The remaining lifetime of the caller's access token. A wait ends with its token. One that begins in the leeway after it
/// would end immediately, again and again. A logout after this check wakes the registered wait.
fn token_life(auth: &Auth, caller: Caller) -> Result<Duration, Error> {
    if auth.revoked.contains(caller.device) {
        return Err(Error::DeviceRevoked);
    }
    let left = caller.token_expires.saturating_sub(auth.tokens.clock.now());
    let left = u64::try_from(left).ok().filter(|left| *left > 0);
    left.map(Duration::from_secs).ok_or(Error::TokenExpired)
}

/// The state of a sleeping wait. It is small, because there are thousands.
struct Sleeper {
    delivery: Arc<Delivery>,
    caller: Caller,
    position: Position,
    total_is_all: bool,
}

impl Sleeper {
    fn sleep(self, mut guard: WaitGuard, end: Instant) -> Asleep {
        Box::pin(async move {
            let wake = tokio::time::timeout_at(end, guard.sleep()).await;
            if let Ok(Some(Wake::News {
                seq,
                total: Some(total),
            })) = wake
                && self.total_is_all
                && self.position.looks.is_none()
            {
                return Ok(news(seq, total));
            }
            // Boxed, so that a sleeping wait does not hold the memory of this future.
            Box::pin(self.finish(wake.map_err(|_elapsed| ()))).await
        })
    }

    async fn finish(&self, wake: Result<Option<Wake>, ()>) -> Result<Notice, Error> {
        let (delivery, caller, position) = (&self.delivery, self.caller, &self.position);
        let notice = match wake {
            Ok(Some(Wake::Revoked)) => return Err(Error::DeviceRevoked),
            Ok(Some(Wake::Reconnect)) => return reconnect(delivery, caller, position).await,
            Ok(Some(Wake::Superseded)) => {
                return Ok(Notice {
                    superseded: true,
                    ..answer(delivery, caller, position).await?
                });
            }
            Ok(Some(Wake::Conversation | Wake::Typing | Wake::Presence)) | Err(()) => {
                unchanged(delivery, caller, position, self.total_is_all).await?
            }
            Ok(Some(Wake::Reads(id))) => {
                let cached = unread_totals::cached(delivery, caller.user).await;
                answer_with(delivery, caller, position, cached, Some(id)).await?
            }
            Ok(Some(Wake::News {
                seq,
                total: Some(total),
            })) if self.total_is_all => news(seq, total),
            Ok(Some(Wake::News { .. }) | None) => answer(delivery, caller, position).await?,
        };
        Ok(with_signals(delivery, caller, position, notice).await)
    }
}

/// The answer when the inbox has this head and this unread total.
fn news(seq: InboxSeq, total: i64) -> Notice {
    Notice {
        news: true,
        last_seq: seq,
        total_unread: total,
        ..Notice::default()
    }
}

/// Adds the signals that were asked for.
async fn with_signals(
    delivery: &Delivery,
    caller: Caller,
    position: &Position,
    notice: Notice,
) -> Notice {
    let Some(looks) = &position.looks else {
        return notice;
    };
    let mut signals = Signals::default();
    if !looks.typing.is_empty() {
        signals.typing = Some(typing::signals(delivery, caller.user, &looks.typing).await);
    }
    if let Some(cursor) = &looks.presence {
        let changes = presence::changes(delivery, caller.user, cursor).await;
        let count = changes.as_ref().map_or(0, |signal| signal.changes.len());
        let count = u64::try_from(count).unwrap_or_default();
        delivery.metrics.presence_changes.inc_by(count);
        signals.presence = Some(changes);
    }
    Notice {
        signals: Some(Box::new(signals)),
        ..notice
    }
}

/// The current state of the inbox and of the watched conversations that the caller is still in.
async fn answer(delivery: &Delivery, caller: Caller, position: &Position) -> Result<Notice, Error> {
    let cached = unread_totals::cached(delivery, caller.user).await;
    answer_with(delivery, caller, position, cached, None).await
}

/// The same; the total of small conversations was read before, and a read position of `reads_moved` has moved.
async fn answer_with(
    delivery: &Delivery,
    caller: Caller,
    position: &Position,
    cached: Option<Total>,
    reads_moved: Option<ConversationId>,
) -> Result<Notice, Error> {
    let (total, heads) =
        unread_totals::total_and_heads(delivery, caller.user, cached, position.watch_ids()).await?;
    Ok(Notice {
        news: total.as_of > position.since,
        last_seq: total.as_of,
        total_unread: total.total,
        watched: position.moved(heads, |id, seen, head| {
            seen < head || reads_moved == Some(id)
        }),
        reads_moved,
        ..Notice::default()
    })
}

/// The answer after the timeout, or after news of a watched conversation. The periodic sweep would have found a newer head, so
/// if the total in Redis is for this head and covers all conversations, PostgreSQL need not be queried.
async fn unchanged(
    delivery: &Delivery,
    caller: Caller,
    position: &Position,
    total_is_all: bool,
) -> Result<Notice, Error> {
    let cached = unread_totals::cached_as_of(delivery, caller.user, position.since).await;
    match cached {
        Some(total) if total_is_all && total.as_of == position.since => Ok(Notice {
            last_seq: total.as_of,
            total_unread: total.total,
            ..Notice::default()
        }),
        cached => answer_with(delivery, caller, position, cached, None).await,
    }
}

async fn reconnect(
    delivery: &Delivery,
    caller: Caller,
    position: &Position,
) -> Result<Notice, Error> {
    // Spread over a second, so that the other nodes do not get all waits at the same time.
    let after = Duration::from_millis(100) + Duration::from_secs(1).mul_f64(clock::jitter());
    Ok(Notice {
        reconnect_after: Some(after),
        ..answer(delivery, caller, position).await?
    })
}

/// Ends the subscriptions that no wait of this node needs.
pub async fn unsubscribe_idle(delivery: &Delivery) {
    delivery.waiters.typing.evict();
    let wanted = || -> HashSet<_> {
        let users = delivery.waiters.positions().into_iter();
        let watched = delivery.waiters.watched().into_iter();
        let looked_at = delivery.waiters.typing.looked_at();
        let online = &delivery.waiters.presence;
        let nodes = online.replica.nodes().into_iter().map(Channel::Node);
        // What others see of a device may change while it does not wait.
        let lingering = online.mine.users().into_iter();
        users
            .map(|(user, _)| user)
            .chain(lingering)
            .map(Channel::Inbox)
            .chain(watched.chain(looked_at).map(Channel::Watch))
            .chain(nodes)
            .collect()
    };
    let before = wanted();
    let mut idle = delivery.notices.channels();
    idle.retain(|channel| !before.contains(channel));
    if idle.is_empty() {
        return;
    }
    delivery.notices.unsubscribe(&idle).await;
    // A wait that began meanwhile may have found the subscription before it ended. Signals until it is active again are
    // lost, so it is requested again, and every wait reads its head as after a gap.
    let after = wanted();
    idle.retain(|channel| after.contains(channel));
    if !idle.is_empty() {
        delivery.notices.mark_missing(&idle);
    }
}
