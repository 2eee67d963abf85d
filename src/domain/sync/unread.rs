//! Unread counts: from Redis if they are proved exact, otherwise from PostgreSQL. `engine/reading/unread_totals.rs` has the
//! rule for the proof. By that rule counts cannot drift, and [`audit`] verifies it in production.

use crate::engine::admission::Admission;
use crate::engine::admission::load_shedding::Priority;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::reading::unread_counts::BATCH;
use crate::engine::reading::unread_mentions;
use crate::engine::reading::unread_totals;
use crate::engine::waiting::head_query;
use crate::model::ids::UserId;
use crate::model::unread::Counts;
use crate::model::wire::unread::Unread;
use crate::storage::error::StorageError;
use crate::storage::pg;
use crate::storage::pg::messaging::mentions;
use crate::storage::redis::sync::unread as cache;
pub use crate::storage::redis::sync::unread::Walk;
use crate::storage::redis::transport::server::RedisUnavailable;
use futures_util::future::try_join_all;
use std::collections::HashSet;
use std::time::Duration;

/// How often a rebuild tries each step …
const MAX_ATTEMPTS: u32 = 4;

/// … and the pause between attempts, which is longer than the circuit breaker of Redis stays open.
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

/// The same counts, with the numbers of messages that name the user.
pub async fn with_mentions(
    delivery: &Delivery,
    user: UserId,
    mut counts: Unread,
) -> Result<Unread, Error> {
    let ids: Vec<_> = counts
        .conversations
        .iter()
        .map(|one| one.conversation_id)
        .collect();
    let named = delivery
        .pg
        .read("unread_mentions", move |conn| {
            let ranges = mentions::ranges(conn, user, &ids)?;
            unread_mentions::counts(conn, user, &ranges)
        })
        .await?;
    for one in &mut counts.conversations {
        one.mentions = Some(named.get(&one.conversation_id).copied().unwrap_or(0));
    }
    counts.total_mentions = Some(named.values().sum());
    Ok(counts)
}

/// The result of a comparison of Redis with PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Redis has no counts, or not those of the head. A reader would not use them, so they are not compared.
    Unproved,
    /// The counts are equal.
    Exact,
    /// Redis has other counts for the same head.
    Drifted,
}

/// Why a comparison was not possible.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// Redis.
    #[error(transparent)]
    Redis(#[from] RedisUnavailable),
    /// PostgreSQL.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Compares the counts of users, and returns PostgreSQL's counts of the conversations that Redis counts. Redis is read
/// first: otherwise an entry that is published in between would be reported as drift.
async fn compare(
    delivery: &Delivery,
    users: &[UserId],
) -> Result<Vec<(Found, Unread)>, Unreachable> {
    let cached = users
        .iter()
        .map(|user| cache::all(&delivery.redis, delivery.epoch, *user));
    let cached = try_join_all(cached).await?;
    let ids = users.to_vec();
    let truths = delivery
        .pg
        .read("audit", move |conn| pg::sync::unread::counts(conn, &ids))
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

/// Compares the counts of users, and deletes wrong ones from Redis: the next reader rebuilds them.
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

/// Audits the next users with counts in Redis, and returns the position of the walk, which begins and ends at the default.
pub async fn audit_some(delivery: &Delivery, at: Walk) -> Result<Walk, Unreachable> {
    let (next, users) = cache::users(&delivery.redis, delivery.epoch, at).await?;
    for users in users.chunks(BATCH) {
        audit(delivery, users).await?;
    }
    Ok(next)
}

/// Retries a failed step for a few seconds. The time-outs are for requests and short, and a command with thousands of steps
/// may exceed one of them.
async fn with_retries<T>(step: impl AsyncFn() -> Result<T, Unreachable>) -> Result<T, Unreachable> {
    for _ in 1..MAX_ATTEMPTS {
        if let Ok(done) = step().await {
            return Ok(done);
        }
        tokio::time::sleep(PAUSE).await;
    }
    step().await
}

/// The result of a rebuild of all counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// The number of users whose counts were replaced.
    pub rebuilt: usize,
    /// The number of users whose counts were wrong.
    pub wrong: usize,
}

/// Replaces all counts in Redis by those of PostgreSQL, while nodes may serve, and calls `done` with the number so far. An
/// entry that is published between a snapshot and its merge leaves the watermark below the head, and the next reader
/// rebuilds.
pub async fn rebuild_all(
    delivery: &Delivery,
    done: impl Fn(usize),
) -> Result<Rebuilt, Unreachable> {
    // All users are listed first: a walk over keys that are being replaced could take long, and count users twice.
    let mut users = HashSet::new();
    let mut at = Walk::default();
    loop {
        let step = async || Ok(cache::users(&delivery.redis, delivery.epoch, at).await?);
        let (next, some) = with_retries(step).await?;
        users.extend(some);
        at = next;
        if at == Walk::default() {
            break;
        }
    }
    let mut result = Rebuilt::default();
    let users: Vec<_> = users.into_iter().collect();
    for users in users.chunks(BATCH) {
        let compared = with_retries(async || compare(delivery, users).await).await?;
        let replace = async |(user, (_, truth)): (&UserId, &(Found, Unread))| {
            cache::forget(&delivery.redis, delivery.epoch, *user).await?;
            cache::merge(&delivery.redis, delivery.epoch, *user, truth).await
        };
        let replace_all =
            async || Ok(try_join_all(users.iter().zip(&compared).map(replace)).await?);
        with_retries(replace_all).await?;
        let is_wrong = |(found, _): &&(Found, Unread)| *found == Found::Drifted;
        result.rebuilt += users.len();
        result.wrong += compared.iter().filter(is_wrong).count();
        done(result.rebuilt);
    }
    Ok(result)
}
