//! Waiting for news: register, look, sleep.

use crate::app::App;
use crate::clock;
use crate::domain::error::Error;
use crate::domain::unread;
use crate::domain::waiters::Wake;
use crate::model::account::Caller;
use crate::model::ids::{Epoch, InboxSeq};
use crate::model::inbox::Resync;
use crate::storage::pg::inbox;
use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The longest wait.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(55);

/// The answer to a wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
}

/// Waits until the caller's inbox goes beyond `since`, at most for `timeout`.
pub async fn wait(
    app: &App,
    caller: Caller,
    since: InboxSeq,
    timeout: Duration,
    epoch: Option<Epoch>,
) -> Result<Notice, Error> {
    // Register before looking: a message that commits between a look and a later registration would be slept through.
    // A probe does not wait, and must not supersede a wait that does.
    let parked = (!timeout.is_zero()).then(|| app.waiters.park(caller.user, caller.device, since));
    // Registered means: on other nodes too. Without Redis there is the sweep.
    if parked.is_some() {
        let _swept = app.notices.subscribe(caller.user).await;
    }
    let head = app.heads.of(caller.user).await?;
    check_position(app, caller, since, head, epoch).await?;
    let Some(mut parked) = parked.filter(|_| head <= since) else {
        return answer(app, caller, since).await;
    };
    if app.draining.load(Ordering::Acquire) {
        return reconnect(app, caller, since).await;
    }
    // Registered and looked after a log-out was noted, or woken by it: either way it is not slept through.
    if app.revoked.contains(caller.device) {
        return Err(Error::DeviceRevoked);
    }
    // A wait ends with its token. One that begins later, in the leeway for clocks, would end at once, again and again.
    let left = caller.token_expires.saturating_sub(clock::unix_seconds());
    let left = u64::try_from(left).ok().filter(|left| *left > 0);
    let sleep = timeout.min(Duration::from_secs(left.ok_or(Error::TokenExpired)?));
    match tokio::time::timeout(sleep, &mut parked.woken).await {
        Err(_elapsed) => answer(app, caller, since).await,
        Ok(Ok(Wake::News {
            seq,
            total: Some(total),
        })) => Ok(Notice {
            news: true,
            last_seq: seq,
            total_unread: total,
            ..Notice::default()
        }),
        Ok(Ok(Wake::News { total: None, .. }) | Err(_)) => answer(app, caller, since).await,
        Ok(Ok(Wake::Revoked)) => Err(Error::DeviceRevoked),
        Ok(Ok(Wake::Reconnect)) => reconnect(app, caller, since).await,
        Ok(Ok(Wake::Superseded)) => Ok(Notice {
            superseded: true,
            ..answer(app, caller, since).await?
        }),
    }
}

/// The state of the inbox as it is now.
async fn answer(app: &App, caller: Caller, since: InboxSeq) -> Result<Notice, Error> {
    let total = unread::total(app, caller.user).await?;
    Ok(Notice {
        news: total.as_of > since,
        last_seq: total.as_of,
        total_unread: total.total,
        ..Notice::default()
    })
}

async fn reconnect(app: &App, caller: Caller, since: InboxSeq) -> Result<Notice, Error> {
    // Spread over a second: the other nodes must not meet everybody at once.
    let after = Duration::from_millis(100) + Duration::from_secs(1).mul_f64(clock::jitter());
    Ok(Notice {
        reconnect_after: Some(after),
        ..answer(app, caller, since).await?
    })
}

/// Ends the subscriptions of users who do not wait on this node any more.
pub async fn unsubscribe_idle(app: &App) {
    let waiting = || -> HashSet<_> {
        app.waiters
            .positions()
            .into_iter()
            .map(|(u, _)| u)
            .collect()
    };
    let before = waiting();
    let mut idle = app.notices.users();
    idle.retain(|user| !before.contains(user));
    if idle.is_empty() || app.notices.unsubscribe(&idle).await.is_err() {
        return;
    }
    // Who has begun to wait just then may have subscribed before we unsubscribed.
    let after = waiting();
    for user in idle.into_iter().filter(|user| after.contains(user)) {
        let _swept = app.notices.subscribe(user).await;
    }
}

/// Refuses a position from another life of the database, or beyond the head.
pub async fn check_position(
    app: &App,
    caller: Caller,
    since: InboxSeq,
    head: InboxSeq,
    epoch: Option<Epoch>,
) -> Result<(), Error> {
    let changed = epoch.is_some_and(|epoch| epoch != app.epoch);
    if !changed && since <= head {
        return Ok(());
    }
    let resync = resync(app, caller, head).await?;
    if changed {
        Err(Error::EpochChanged(resync))
    } else {
        Err(Error::CursorAhead(resync))
    }
}

/// What a client needs to start over.
pub async fn resync(app: &App, caller: Caller, head: InboxSeq) -> Result<Resync, Error> {
    let first = app
        .pg
        .read("first_kept", move |conn| {
            inbox::first_kept(conn, caller.user)
        })
        .await?;
    Ok(Resync {
        epoch: app.epoch,
        first_seq: first.unwrap_or(head.next()).0,
        last_seq: head.0,
    })
}
