//! Waiting for news: register, look, sleep.

use crate::clock;
use crate::domain::sync::position::{check_position, resync};
use crate::engine::admission::load_shedding::{Priority, admit};
use crate::engine::error::Error;
use crate::engine::handles::App;
use crate::engine::reading::unread_totals;
use crate::engine::waiting::head_query::{HeadSnapshot, load_heads};
use crate::engine::waiting::registry::Wake;
use crate::model::account::Caller;
use crate::model::ids::{ConvSeq, ConversationId, Epoch, InboxSeq};
use crate::model::rate_limit::{Policy, QuotaStatus};
use crate::storage::redis::sync::notices::Channel;
use crate::storage::redis::sync::unread::Total;
use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The longest wait.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(55);

/// The most conversations that one wait watches.
pub const WATCH: usize = 100;

/// The waits of an address are too many.
fn full(most: u32) -> Error {
    Error::RateLimited(QuotaStatus {
        policy: Policy {
            name: "waits",
            interval: Duration::ZERO,
            burst: most,
        },
        remaining: 0,
        reset_after: Duration::ZERO,
        retry_after: Some(Duration::from_secs(5)),
    })
}

/// The answer to a wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notice {
    /// There is something after the position that was asked from.
    pub news: bool,
    /// The head of the inbox.
    pub last_seq: InboxSeq,
    /// The sum of the unread counts as of the head.
    pub total_unread: i64,
    /// The node is going away: wait again after this time, on another connection.
    pub reconnect_after: Option<Duration>,
    /// A newer wait of this device runs on this node.
    pub superseded: bool,
    /// The heads of watched conversations that went beyond what was seen of them.
    pub watched: Vec<(ConversationId, ConvSeq)>,
}

/// From where a wait waits.
#[derive(Clone, Debug)]
pub struct Position {
    /// The last seq of the inbox that the device has.
    pub since: InboxSeq,
    /// The epoch that it belongs to, to be checked when given.
    pub epoch: Option<Epoch>,
    /// Watched conversations, and the last seq that the device has of each.
    pub watch: Vec<(ConversationId, ConvSeq)>,
}

impl Position {
    fn watch_ids(&self) -> Vec<ConversationId> {
        self.watch.iter().map(|(id, _)| *id).collect()
    }

    /// Those of these heads that the device has not seen.
    fn moved(&self, heads: Vec<(ConversationId, ConvSeq)>) -> Vec<(ConversationId, ConvSeq)> {
        let seen: HashMap<_, _> = self.watch.iter().copied().collect();
        let is_new = |(id, seq): &(ConversationId, ConvSeq)| seen.get(id).is_some_and(|s| s < seq);
        heads.into_iter().filter(is_new).collect()
    }
}

/// What a wait came to at first.
pub enum Wait {
    /// There was a reason to answer at once.
    Over(Notice),
    /// Nothing to say yet. This ends when there is, and dropping it ends the wait.
    Asleep(Pin<Box<dyn Future<Output = Result<Notice, Error>>>>),
}

/// Waits until the caller's inbox or a watched conversation goes beyond `position`, at most for `timeout`.
pub async fn wait(
    app: &Arc<App>,
    caller: Caller,
    position: Position,
    timeout: Duration,
) -> Result<Wait, Error> {
    let since = position.since;
    admit(app, Priority::Wait)?;
    // Register before looking: a message that commits between a look and a later registration would be slept through.
    // A probe does not wait, and must not supersede a wait that does.
    let most = app
        .config
        .rate_limit
        .map_or(u32::MAX, |_| app.config.waits_per_address);
    let parked = match timeout {
        Duration::ZERO => None,
        _ => {
            let limit = usize::try_from(most).unwrap_or(usize::MAX);
            let parked = app.waiters.park(caller, since, &position.watch, limit);
            Some(parked.ok_or_else(|| full(most))?)
        }
    };
    // Registered means: on other nodes too. Without Redis there is the sweep.
    let mut hears = false;
    if parked.is_some() {
        let watched = position.watch.iter().map(|(id, _)| Channel::Watch(*id));
        let channels: Vec<_> = watched.chain([Channel::Inbox(caller.user)]).collect();
        hears = app.notices.subscribe(&channels).await.is_ok();
    }
    // Most waits come after one that was in vain, and there is nothing to ask that the sweep has not just asked.
    let swept = hears.then(|| app.waiters.swept.head(caller.user)).flatten();
    let seen = match swept {
        Some(head) if head == since && position.watch.is_empty() => HeadSnapshot {
            head,
            ..HeadSnapshot::default()
        },
        _ => load_heads(&app.heads, caller.user, position.watch_ids()).await?,
    };
    let head = seen.head;
    check_position(app, caller, since, head, position.epoch).await?;
    if seen.watched.len() < position.watch.len() {
        return Err(Error::NotFound);
    }
    let heads: HashMap<_, _> = seen.watched.iter().copied().collect();
    if position
        .watch
        .iter()
        .any(|(id, seq)| heads.get(id) < Some(seq))
    {
        return Err(Error::CursorAhead(resync(app, caller, head).await?));
    }
    // Not before: a wait that is refused leaves the good one alone.
    if let Some(parked) = &parked {
        parked.supersede_older(caller.device);
    }
    let has_news = head > since || !position.moved(seen.watched).is_empty();
    let Some(mut parked) = parked.filter(|_| !has_news) else {
        return Ok(Wait::Over(answer(app, caller, &position).await?));
    };
    if app.draining.load(Ordering::Acquire) {
        return Ok(Wait::Over(reconnect(app, caller, &position).await?));
    }
    // Redis counts no large conversations, and a watched one may have moved as well.
    let total_is_all = seen.large_unread.is_none() && position.watch.is_empty();
    // Registered and looked after a log-out was noted, or woken by it: either way it is not slept through.
    if app.revoked.contains(caller.device) {
        return Err(Error::DeviceRevoked);
    }
    // A wait ends with its token. One that begins later, in the leeway for clocks, would end at once, again and again.
    let left = caller.token_expires.saturating_sub(app.tokens.clock.now());
    let left = u64::try_from(left).ok().filter(|left| *left > 0);
    let sleep = timeout.min(Duration::from_secs(left.ok_or(Error::TokenExpired)?));
    let end = clock::tick_after(sleep);
    let app = Arc::clone(app);
    // There are thousands of these at a time: what is needed only after the waking has a box of its own, then.
    Ok(Wait::Asleep(Box::pin(async move {
        match tokio::time::timeout_at(end.into(), parked.sleep()).await {
            Ok(Some(Wake::News {
                seq,
                total: Some(total),
            })) if total_is_all => Ok(Notice {
                news: true,
                last_seq: seq,
                total_unread: total,
                ..Notice::default()
            }),
            Ok(Some(Wake::Revoked)) => Err(Error::DeviceRevoked),
            Ok(Some(Wake::Reconnect)) => Box::pin(reconnect(&app, caller, &position)).await,
            Ok(Some(Wake::Moved)) | Err(_) => {
                Box::pin(nothing(&app, caller, &position, total_is_all)).await
            }
            Ok(Some(wake)) => Ok(Notice {
                superseded: wake == Wake::Superseded,
                ..Box::pin(answer(&app, caller, &position)).await?
            }),
            Ok(None) => Box::pin(answer(&app, caller, &position)).await,
        }
    })))
}

/// The state of the inbox and of the watched conversations as it is now: of those that the caller is in now.
async fn answer(app: &App, caller: Caller, position: &Position) -> Result<Notice, Error> {
    let cached = unread_totals::cached(app, caller.user).await;
    answer_with(app, caller, position, cached).await
}

/// The same; the total of small conversations has been looked for before.
async fn answer_with(
    app: &App,
    caller: Caller,
    position: &Position,
    cached: Option<Total>,
) -> Result<Notice, Error> {
    let (total, heads) =
        unread_totals::look(app, caller.user, cached, position.watch_ids()).await?;
    Ok(Notice {
        news: total.as_of > position.since,
        last_seq: total.as_of,
        total_unread: total.total,
        watched: position.moved(heads),
        ..Notice::default()
    })
}

/// After a time without news of the inbox. The head is where it was, or the sweep would have found it within its seconds: when
/// the counts in Redis are those of this head, and they are all there is, there is nothing to ask PostgreSQL.
async fn nothing(
    app: &App,
    caller: Caller,
    position: &Position,
    total_is_all: bool,
) -> Result<Notice, Error> {
    let cached = unread_totals::cached_as_of(app, caller.user, position.since).await;
    match cached {
        Some(total) if total_is_all && total.as_of == position.since => Ok(Notice {
            last_seq: total.as_of,
            total_unread: total.total,
            ..Notice::default()
        }),
        cached => answer_with(app, caller, position, cached).await,
    }
}

async fn reconnect(app: &App, caller: Caller, position: &Position) -> Result<Notice, Error> {
    // Spread over a second: the other nodes must not meet everybody at once.
    let after = Duration::from_millis(100) + Duration::from_secs(1).mul_f64(clock::jitter());
    Ok(Notice {
        reconnect_after: Some(after),
        ..answer(app, caller, position).await?
    })
}

/// Ends the subscriptions that nobody waits for on this node any more.
pub async fn unsubscribe_idle(app: &App) {
    let wanted = || -> HashSet<_> {
        let users = app.waiters.positions().into_iter();
        let watched = app.waiters.watched().into_iter();
        users
            .map(|(user, _)| Channel::Inbox(user))
            .chain(watched.map(|(id, _)| Channel::Watch(id)))
            .collect()
    };
    let before = wanted();
    let mut idle = app.notices.channels();
    idle.retain(|channel| !before.contains(channel));
    if idle.is_empty() {
        return;
    }
    app.notices.unsubscribe(&idle).await;
    // Who has begun to wait just then may have found the subscription before we ended it: they looked, so whatever is
    // published until it stands again is lost to them, and every wait looks again as after a loss.
    let after = wanted();
    idle.retain(|channel| after.contains(channel));
    if !idle.is_empty() {
        app.notices.mark_missing(&idle);
    }
}
