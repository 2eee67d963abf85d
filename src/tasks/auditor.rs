//! The auditor: compares unread counts in Redis with PostgreSQL, a few users at a time, for as long as the node runs.

use crate::domain::sync::unread;
use crate::engine::delivery::Delivery;
use std::time::Duration;

/// About a hundred users each time: one query, and an hour for 36,000 users on each node, which is soon enough for what
/// should never be found.
const EVERY: Duration = Duration::from_secs(10);

/// Audits until it is dropped.
pub async fn run(delivery: &Delivery) {
    let mut at = unread::Walk::default();
    loop {
        tokio::time::sleep(EVERY).await;
        // A failure was logged by the door or the circuit; the next round begins at the same place.
        if let Ok(next) = unread::audit_some(delivery, at).await {
            at = next;
        }
    }
}
