//! Unread totals: from Redis when they are proved exact, otherwise from PostgreSQL.
//!
//! Redis is read first and the head in PostgreSQL second. If the watermark equals the head, every entry was applied and
//! none came after: the counts are exact. If it is behind, announcements are on their way or were lost with a node:
//! PostgreSQL answers and its snapshot is merged. If it is ahead, Redis belongs to another life of the database.
//!
//! No entry tells of a message in a large conversation, so those are not in Redis: their few counts are subtracted in
//! PostgreSQL whenever somebody asks, by the query that reads the head.

use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::waiting::head_query;
use crate::model::ids::{ConvSeq, ConversationId, InboxSeq, UserId};
use crate::model::wire::unread::Unread;
use crate::storage::redis::sync::unread as cache;
use crate::storage::redis::sync::unread::Total;

/// The unread total of a user and the inbox head that it belongs to.
pub async fn total(delivery: &Delivery, user: UserId) -> Result<Total, Error> {
    let cached = cached(delivery, user).await;
    Ok(look(delivery, user, cached, Vec::new()).await?.0)
}

/// The unread total of small conversations as Redis has it, which is exact as of its head.
pub async fn cached(delivery: &Delivery, user: UserId) -> Option<Total> {
    let cached = cache::total(&delivery.redis, delivery.epoch, user).await;
    cached.ok().flatten()
}

/// The same for a user who waits, and whose head is still this one as far as is known here.
pub async fn cached_as_of(delivery: &Delivery, user: UserId, head: InboxSeq) -> Option<Total> {
    if let Some(total) = delivery.totals.as_of(user, head) {
        return Some(total);
    }
    let total = cached(delivery, user).await?;
    delivery.totals.told(user, total);
    Some(total)
}

/// The unread total, and the heads of those watched conversations that the user is in. The total of small conversations has
/// been looked for before.
pub async fn look(
    delivery: &Delivery,
    user: UserId,
    cached: Option<Total>,
    watch: Vec<ConversationId>,
) -> Result<(Total, Vec<(ConversationId, ConvSeq)>), Error> {
    let seen = head_query::load_heads(&delivery.heads, user, watch).await?;
    let total = match cached {
        Some(total) if total.as_of == seen.head => Total {
            as_of: total.as_of,
            total: total.total + seen.large_unread.unwrap_or(0),
        },
        total => {
            let mark = total.map(|total| total.as_of);
            let counts = rebuild(delivery, user, mark, seen.head).await?;
            Total {
                as_of: counts.as_of_seq,
                total: counts.total,
            }
        }
    };
    Ok((total, seen.watched))
}

/// Counts in PostgreSQL, and merges the result into Redis; the answer is the snapshot, whether or not the merge won.
pub async fn rebuild(
    delivery: &Delivery,
    user: UserId,
    mark: Option<InboxSeq>,
    head: InboxSeq,
) -> Result<Unread, Error> {
    delivery.metrics.unread_rebuilds.inc();
    let counts = delivery.recounts.ask(user).await?;
    let as_of = counts.small.as_of_seq;
    if mark.is_some_and(|mark| mark > as_of && mark > head) {
        log::warn!("unread counts of {user} are ahead of the database: forgotten");
        // Redis away or not, the truth was answered; here and below the circuit breaker has logged it.
        let _away = cache::forget(&delivery.redis, delivery.epoch, user).await;
    }
    let _away = cache::merge(&delivery.redis, delivery.epoch, user, &counts.small).await;
    Ok(counts.all())
}
