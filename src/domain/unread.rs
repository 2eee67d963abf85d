//! Unread counts: from Redis when they are proved exact, otherwise from PostgreSQL.
//!
//! Redis is read first and the head in PostgreSQL second. If the watermark equals the head, every entry was applied and
//! none came after: the counts are exact. If it is behind, announcements are on their way or were lost with a node:
//! PostgreSQL answers and its snapshot is merged. If it is ahead, Redis belongs to another life of the database.
//!
//! No entry tells of a message in a large conversation, so those are not in Redis: their few counts are subtracted in
//! PostgreSQL whenever somebody asks, by the query that reads the head.
//!
//! So counts cannot drift, and [`audit`] compares them all the same: a promise that nobody checks is a hope.

use crate::app::App;
use crate::domain::error::Error;
use crate::domain::heads;
use crate::domain::overload::{Load, admit};
use crate::domain::shared::{Manner, Shared};
use crate::model::ids::{ConvSeq, ConversationId, InboxSeq, UserId};
use crate::model::unread::{Counts, Unread};
use crate::storage::error::StorageError;
use crate::storage::pg::{self, Pg};
use crate::storage::redis::RedisUnavailable;
use crate::storage::redis::unread as cache;
use crate::storage::redis::unread::{Total, Walk};
use futures_util::future::try_join_all;
use std::collections::HashSet;
use std::time::Duration;

/// How many users' counts one query computes.
const BATCH: usize = 100;

/// How often a rebuild tries each step …
const TRIES: u32 = 4;

/// … and how long it waits in between: longer than the circuit of Redis stays open.
const PAUSE: Duration = Duration::from_millis(1_200);

/// Counts in PostgreSQL. When Redis has lost its counts, a crowd asks for its own at once.
pub type Recounts = Shared<UserId, Counts>;

/// Starts the counting on the Tokio runtime that this is called on, with so many queries at a time.
pub fn start(pg: &Pg, lanes: u32) -> Recounts {
    let manner = Manner {
        name: "unread",
        batch: BATCH,
        lanes,
        queue: 20_000,
    };
    Shared::start(pg, manner, |conn, users| pg::unread::counts(conn, users))
}

/// All counts of a user.
pub async fn all(app: &App, user: UserId) -> Result<Unread, Error> {
    admit(app, Load::Fetch)?;
    let cached = cache::all(&app.redis, app.epoch, user).await.ok().flatten();
    let seen = heads::look(app, user, Vec::new()).await?;
    let small = match cached {
        Some(counts) if counts.as_of_seq == seen.head => counts,
        counts => {
            return rebuild(app, user, counts.map(|counts| counts.as_of_seq), seen.head).await;
        }
    };
    let large = match seen.large_unread {
        None | Some(0) => Vec::new(),
        Some(_) => {
            let large = move |conn: &mut _| pg::unread::large(conn, user);
            app.pg.read("large_unread", large).await?
        }
    };
    Ok(Counts { small, large }.all())
}

/// The unread total of a user and the inbox head that it belongs to.
pub async fn total(app: &App, user: UserId) -> Result<Total, Error> {
    let cached = cached(app, user).await;
    Ok(look(app, user, cached, Vec::new()).await?.0)
}

/// The unread total of small conversations as Redis has it, which is exact as of its head.
pub async fn cached(app: &App, user: UserId) -> Option<Total> {
    let cached = cache::total(&app.redis, app.epoch, user).await;
    cached.ok().flatten()
}

/// The same for a user who waits, and whose head is still this one as far as is known here.
pub async fn cached_as_of(app: &App, user: UserId, head: InboxSeq) -> Option<Total> {
    if let Some(total) = app.totals.as_of(user, head) {
        return Some(total);
    }
    let total = cached(app, user).await?;
    app.totals.told(user, total);
    Some(total)
}

/// The unread total, and the heads of those watched conversations that the user is in. The total of small conversations has
/// been looked for before.
pub async fn look(
    app: &App,
    user: UserId,
    cached: Option<Total>,
    watch: Vec<ConversationId>,
) -> Result<(Total, Vec<(ConversationId, ConvSeq)>), Error> {
    let seen = heads::look(app, user, watch).await?;
    let total = match cached {
        Some(total) if total.as_of == seen.head => Total {
            as_of: total.as_of,
            total: total.total + seen.large_unread.unwrap_or(0),
        },
        total => {
            let mark = total.map(|total| total.as_of);
            let counts = rebuild(app, user, mark, seen.head).await?;
            Total {
                as_of: counts.as_of_seq,
                total: counts.total,
            }
        }
    };
    Ok((total, seen.watched))
}

/// Counts in PostgreSQL, and merges the result into Redis; the answer is the snapshot, whether or not the merge won.
async fn rebuild(
    app: &App,
    user: UserId,
    mark: Option<InboxSeq>,
    head: InboxSeq,
) -> Result<Unread, Error> {
    app.metrics.unread_rebuilds.inc();
    let counts = app.recounts.ask(user).await?;
    let as_of = counts.small.as_of_seq;
    if mark.is_some_and(|mark| mark > as_of && mark > head) {
        log::warn!("unread counts of {user} are ahead of the database: forgotten");
        // Redis away or not, the truth was answered; here and below the circuit breaker has logged it.
        let _away = cache::forget(&app.redis, app.epoch, user).await;
    }
    let _away = cache::merge(&app.redis, app.epoch, user, &counts.small).await;
    Ok(counts.all())
}

/// What a comparison of Redis with PostgreSQL found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Redis has no counts, or not those of the head: a reader would not use them, so they can be neither right nor wrong.
    Unproved,
    /// The same in both.
    Exact,
    /// Redis says that its counts are those of the head, and they are not.
    Drifted,
}

/// A comparison could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// Redis.
    #[error(transparent)]
    Redis(#[from] RedisUnavailable),
    /// PostgreSQL.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Compares the counts of some users, and returns the true ones of those that Redis keeps. Redis is read first: had
/// PostgreSQL been, an entry that was announced in between would look like drift.
async fn compare(app: &App, users: &[UserId]) -> Result<Vec<(Found, Unread)>, Unreachable> {
    let cached = users
        .iter()
        .map(|user| cache::all(&app.redis, app.epoch, *user));
    let cached = try_join_all(cached).await?;
    let asked = users.to_vec();
    let truths = app
        .pg
        .read("audit", move |conn| pg::unread::counts(conn, &asked))
        .await?;
    let compared = users.iter().zip(cached).zip(truths);
    Ok(compared
        .map(|((user, cached), truth)| judge(*user, cached, truth.small))
        .collect())
}

fn judge(user: UserId, cached: Option<Unread>, truth: Unread) -> (Found, Unread) {
    let found = match cached.filter(|cached| cached.as_of_seq == truth.as_of_seq) {
        None => Found::Unproved,
        Some(cached) if cached == truth => Found::Exact,
        Some(cached) => {
            log::error!(
                "unread counts of {user} as of {} are wrong in Redis: {} in {} conversations, and {} in {} in PostgreSQL",
                truth.as_of_seq,
                cached.total,
                cached.conversations.len(),
                truth.total,
                truth.conversations.len(),
            );
            Found::Drifted
        }
    };
    (found, truth)
}

/// Compares the counts of some users, and has Redis forget wrong ones: the next reader counts again.
pub async fn audit(app: &App, users: &[UserId]) -> Result<Vec<Found>, Unreachable> {
    let compared = compare(app, users).await?;
    let found: Vec<_> = compared.into_iter().map(|(found, _)| found).collect();
    for (user, found) in users.iter().zip(&found) {
        match found {
            Found::Unproved => {}
            Found::Exact => app.metrics.unread_audited.inc(),
            Found::Drifted => {
                app.metrics.unread_audited.inc();
                app.metrics.unread_drift.inc();
                cache::forget(&app.redis, app.epoch, *user).await?;
            }
        }
    }
    Ok(found)
}

/// Audits the next few users whose counts Redis knows, and returns where to go on. A walk begins and ends at the default.
pub async fn audit_some(app: &App, at: Walk) -> Result<Walk, Unreachable> {
    let (next, users) = cache::users(&app.redis, app.epoch, at).await?;
    for users in users.chunks(BATCH) {
        audit(app, users).await?;
    }
    Ok(next)
}

/// Tries again what failed, for a few seconds: the time-outs are short, for requests, and an operator's command may meet a
/// busy moment among its thousands of steps.
async fn patiently<T>(step: impl AsyncFn() -> Result<T, Unreachable>) -> Result<T, Unreachable> {
    for _ in 1..TRIES {
        if let Ok(done) = step().await {
            return Ok(done);
        }
        tokio::time::sleep(PAUSE).await;
    }
    step().await
}

/// What a rebuild of all counts came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Users whose counts Redis knew, and knows anew.
    pub rebuilt: usize,
    /// Those of them whose counts were wrong.
    pub wrong: usize,
}

/// Replaces all counts that Redis knows by those of PostgreSQL, while nodes may serve, and tells how many so far. What is announced between a
/// snapshot and its merge leaves the hash behind the head, where the next reader finds and mends it.
pub async fn rebuild_all(app: &App, done: impl Fn(usize)) -> Result<Rebuilt, Unreachable> {
    // All of them first: a walk that meets keys made again under way could go round for long, and count twice.
    let mut users = HashSet::new();
    let mut at = Walk::default();
    loop {
        let step = async || Ok(cache::users(&app.redis, app.epoch, at).await?);
        let (next, some) = patiently(step).await?;
        users.extend(some);
        at = next;
        if at == Walk::default() {
            break;
        }
    }
    let mut result = Rebuilt::default();
    let users: Vec<_> = users.into_iter().collect();
    for users in users.chunks(BATCH) {
        let compared = patiently(async || compare(app, users).await).await?;
        let replace = async |(user, (_, truth)): (&UserId, &(Found, Unread))| {
            cache::forget(&app.redis, app.epoch, *user).await?;
            cache::merge(&app.redis, app.epoch, *user, truth).await
        };
        let replace_all =
            async || Ok(try_join_all(users.iter().zip(&compared).map(replace)).await?);
        patiently(replace_all).await?;
        let is_wrong = |(found, _): &&(Found, Unread)| *found == Found::Drifted;
        result.rebuilt += users.len();
        result.wrong += compared.iter().filter(is_wrong).count();
        done(result.rebuilt);
    }
    Ok(result)
}
