//! The sweep: a lost signal delays a wait by at most five seconds.
//!
//! Every 3 seconds this reads from PostgreSQL the heads of all waiting users and of all watched conversations, in large
//! batches, and wakes the waits that have not seen them: the signal was lost with a node, or Redis was slow. The head cache
//! keeps the result for the next waits of these users (`engine/waiting/head_cache.rs`).

use crate::engine::delivery::Delivery;
use crate::model::moved::{Moved, MovedChange, TimelineHeads};
use crate::storage::pg::sync::{inbox, watched as watched_rows};
use std::collections::HashMap;

/// Heads of one query.
const BATCH: usize = 10_000;

/// Reads the heads of all waiting users and of all watched conversations, once.
pub async fn once(delivery: &Delivery) {
    let mut late = watched(delivery).await;
    let sweep = delivery.waiters.head_cache.begin();
    let positions = delivery.waiters.positions();
    let mut found = HashMap::with_capacity(positions.len());
    for chunk in positions.chunks(BATCH) {
        let users: Vec<_> = chunk.iter().map(|(user, _)| *user).collect();
        // `Pg` has logged the error, and the next sweep tries again.
        let Ok(heads) = delivery
            .pg
            .read("sweep", move |conn| inbox::heads(conn, &users))
            .await
        else {
            break;
        };
        late += delivery
            .waiters
            .wake_inbox(chunk.iter().filter_map(|(user, since)| {
                let head = heads.get(user).filter(|head| head.seq > *since)?;
                // The entry may be the one that comes with a change of what others see of the user.
                delivery.waiters.presence.mine.reload(*user);
                Some((*user, head.seq, None))
            }));
        // A user without a row has head 0. A user in large conversations is left out: their unread counts change without a
        // new head.
        found.extend(chunk.iter().filter_map(|(user, _)| {
            let head = heads.get(user).copied().unwrap_or_default();
            head.large_unread.is_none().then_some((*user, head.seq))
        }));
    }
    sweep.end(found);
    delivery.totals.evict_expired();
    if late > 0 {
        delivery.metrics.notices_recovered.inc_by(late as u64);
        log::info!("sweep: {late} waits had missed their signal");
    }
}

async fn watched(delivery: &Delivery) -> usize {
    delivery.waiters.changes.forget_old();
    let mut late = 0;
    for chunk in delivery.waiters.watched().chunks(BATCH) {
        let ids = chunk.to_vec();
        let heads = move |conn: &mut _| watched_rows::heads(conn, &ids);
        let Ok(heads) = delivery.pg.read("sweep_watched", heads).await else {
            break;
        };
        let moved = |(id, heads): (_, TimelineHeads)| {
            let heads = Moved {
                seq: heads.last_seq,
                change: Some(MovedChange {
                    seq: heads.change_seq,
                    is_urgent: false,
                }),
            };
            delivery.waiters.wake_conversation(id, heads)
        };
        late += heads.into_iter().map(moved).sum::<usize>();
    }
    late
}
