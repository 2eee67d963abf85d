//! Unread totals: from Redis if they are proved exact, otherwise from PostgreSQL.
//!
//! Redis is read first and the head in PostgreSQL second. If the watermark equals the head, every entry was applied and none
//! was committed after: the counts are exact. If it is lower, entries are not published yet or were lost with a node: the
//! result is counted in PostgreSQL and merged into Redis. If it is higher, Redis has data of another epoch.
//!
//! A message in a large conversation has no inbox entry, so Redis does not count it. The query that reads the head computes
//! the unread count of large conversations.

use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::waiting::head_query;
use crate::model::ids::{ConversationId, InboxSeq, UserId};
use crate::model::moved::TimelineHeads;
use crate::model::wire::unread::Unread;
use crate::storage::redis::sync::unread as cache;
use crate::storage::redis::sync::unread::Total;

/// The unread total of a user and the inbox head that it belongs to.
pub async fn total(delivery: &Delivery, user: UserId) -> Result<Total, Error> {
    let cached = cached(delivery, user).await;
    Ok(total_and_heads(delivery, user, cached, Vec::new()).await?.0)
}

/// The unread total of small conversations from Redis, which is exact as of its watermark.
pub async fn cached(delivery: &Delivery, user: UserId) -> Option<Total> {
    let cached = cache::total(&delivery.redis, delivery.epoch, user).await;
    cached.ok().flatten()
}

/// The same for a waiting user whose last known head is `head`: from the total cache if possible.
pub async fn cached_as_of(delivery: &Delivery, user: UserId, head: InboxSeq) -> Option<Total> {
    if let Some(total) = delivery.totals.as_of(user, head) {
        return Some(total);
    }
    let total = cached(delivery, user).await?;
    delivery.totals.insert(user, total);
    Some(total)
}

/// The unread total, and the heads of the watched conversations that the user is in. `cached` is the total of small
/// conversations, which was read before the heads.
pub async fn total_and_heads(
    delivery: &Delivery,
    user: UserId,
    cached: Option<Total>,
    watch: Vec<ConversationId>,
) -> Result<(Total, Vec<(ConversationId, TimelineHeads)>), Error> {
    let seen = head_query::load_heads(&delivery.heads, user, watch).await?;
    let total = match cached {
        Some(total) if total.as_of == seen.head => Total {
            as_of: total.as_of,
            total: total.total + seen.large_unread.unwrap_or(0),
        },
        total => {
            let watermark = total.map(|total| total.as_of);
            let counts = rebuild(delivery, user, watermark, seen.head).await?;
            Total {
                as_of: counts.as_of_seq,
                total: counts.total,
            }
        }
    };
    Ok((total, seen.watched))
}

/// Counts in PostgreSQL, and merges the result into Redis. Returns the result also if Redis has kept newer counts.
pub async fn rebuild(
    delivery: &Delivery,
    user: UserId,
    watermark: Option<InboxSeq>,
    head: InboxSeq,
) -> Result<Unread, Error> {
    delivery.metrics.unread_rebuilds.inc();
    let counts = delivery.recounts.submit(user).await?;
    let as_of = counts.small.as_of_seq;
    if watermark.is_some_and(|watermark| watermark > as_of && watermark > head) {
        log::warn!("unread counts of {user} in Redis are ahead of PostgreSQL: deleted");
        // Without Redis the result is the same. Here and below, the circuit breaker has logged the error.
        let _logged = cache::forget(&delivery.redis, delivery.epoch, user).await;
    }
    let _logged = cache::merge(&delivery.redis, delivery.epoch, user, &counts.small).await;
    Ok(counts.all())
}
