//! Wakes the waits that watch a small conversation in which a read position moved.

use crate::engine::delivery::Delivery;
use crate::model::ids::{ConversationId, UserId};
use crate::storage::pg::identity::users;
use crate::storage::redis::sync::notices;
use std::collections::HashSet;

/// Announces the read positions that this node has moved to all nodes, and wakes the waits for those that were announced. Users that
/// have switched `read_receipts` off are neither announced nor woken. A failure is logged, and what moved is forgotten.
pub async fn announce(delivery: &Delivery) {
    let waiters = &delivery.waiters;
    let moved = waiters.reads.take_moved();
    let watched: Vec<(ConversationId, Vec<UserId>)> = waiters
        .reads
        .take_announced()
        .into_iter()
        .map(|(id, reader)| (id, waiters.watchers_of_changes(id, reader)))
        .collect();
    let readers = moved.values().flatten();
    let watchers = watched.iter().flat_map(|(_, watchers)| watchers);
    let users: HashSet<UserId> = readers.chain(watchers).copied().collect();
    if users.is_empty() {
        return;
    }
    let users: Vec<_> = users.into_iter().collect();
    let read = move |conn: &mut _| users::showing_reads(conn, &users);
    let showing = match delivery.pg.read("read_moves", read).await {
        Ok(showing) => showing,
        Err(error) => return log::warn!("read positions that moved are not announced: {error}"),
    };
    for (id, mut watchers) in watched {
        watchers.retain(|user| showing.contains(user));
        waiters.wake_reads(id, &watchers);
    }
    let announced: Vec<_> = moved
        .into_iter()
        .filter_map(|(id, mut readers)| {
            readers.retain(|user| showing.contains(user));
            let several = readers.len() > 1;
            let reader = readers.into_iter().next()?;
            Some((id, (!several).then_some(reader)))
        })
        .collect();
    notices::publish_reads(&delivery.redis, delivery.epoch, &announced).await;
}
