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

use crate::engine::admission::Admission;
use crate::engine::admission::load_shedding::Priority;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::reading::unread_counts::BATCH;
use crate::engine::reading::unread_totals;
use crate::engine::waiting::head_query;
use crate::model::ids::UserId;
use crate::model::unread::Counts;
use crate::model::wire::unread::Unread;
use crate::storage::error::StorageError;
use crate::storage::pg;
use crate::storage::redis::sync::unread as cache;
pub use crate::storage::redis::sync::unread::Walk;
use crate::storage::redis::transport::server::RedisUnavailable;
use futures_util::future::try_join_all;
use std::collections::HashSet;
use std::time::Duration;

/// How often a rebuild tries each step …
const TRIES: u32 = 4;

/// … and how long it waits in between: longer than the circuit of Redis stays open.
const PAUSE: Duration = Duration::from_millis(1_200);

/// All counts of a user.
pub async fn all(
    delivery: &Delivery,
    admission: &Admission,
    user: UserId,
) -> Result<Unread, Error> {
    admission.admit(Priority::Fetch)?;
    let cached = cache::all(&delivery.redis, delivery.epoch, user)
        .await
        .ok()
        .flatten();
    let seen = head_query::load_heads(&delivery.heads, user, Vec::new()).await?;
    let small = match cached {
        Some(counts) if counts.as_of_seq == seen.head => counts,
        counts => {
            return unread_totals::rebuild(
                delivery,
                user,
                counts.map(|counts| counts.as_of_seq),
                seen.head,
            )
            .await;
        }
    };
    let large = match seen.large_unread {
        None | Some(0) => Vec::new(),
        Some(_) => {
            let large = move |conn: &mut _| pg::sync::unread::large(conn, user);
            delivery.pg.read("large_unread", large).await?
        }
    };
    Ok(Counts { small, large }.all())
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
async fn compare(
    delivery: &Delivery,
    users: &[UserId],
) -> Result<Vec<(Found, Unread)>, Unreachable> {
    let cached = users
        .iter()
        .map(|user| cache::all(&delivery.redis, delivery.epoch, *user));
    let cached = try_join_all(cached).await?;
    let asked = users.to_vec();
    let truths = delivery
        .pg
        .read("audit", move |conn| pg::sync::unread::counts(conn, &asked))
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
pub async fn audit(delivery: &Delivery, users: &[UserId]) -> Result<Vec<Found>, Unreachable> {
    let compared = compare(delivery, users).await?;
    let found: Vec<_> = compared.into_iter().map(|(found, _)| found).collect();
    for (user, found) in users.iter().zip(&found) {
        match found {
            Found::Unproved => {}
            Found::Exact => delivery.metrics.unread_audited.inc(),
            Found::Drifted => {
                delivery.metrics.unread_audited.inc();
                delivery.metrics.unread_drift.inc();
                cache::forget(&delivery.redis, delivery.epoch, *user).await?;
            }
        }
    }
    Ok(found)
}

/// Audits the next few users whose counts Redis knows, and returns where to go on. A walk begins and ends at the default.
pub async fn audit_some(delivery: &Delivery, at: Walk) -> Result<Walk, Unreachable> {
    let (next, users) = cache::users(&delivery.redis, delivery.epoch, at).await?;
    for users in users.chunks(BATCH) {
        audit(delivery, users).await?;
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
pub async fn rebuild_all(
    delivery: &Delivery,
    done: impl Fn(usize),
) -> Result<Rebuilt, Unreachable> {
    // All of them first: a walk that meets keys made again under way could go round for long, and count twice.
    let mut users = HashSet::new();
    let mut at = Walk::default();
    loop {
        let step = async || Ok(cache::users(&delivery.redis, delivery.epoch, at).await?);
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
        let compared = patiently(async || compare(delivery, users).await).await?;
        let replace = async |(user, (_, truth)): (&UserId, &(Found, Unread))| {
            cache::forget(&delivery.redis, delivery.epoch, *user).await?;
            cache::merge(&delivery.redis, delivery.epoch, *user, truth).await
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
