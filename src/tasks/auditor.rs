//! The auditor: compares unread counts in Redis with PostgreSQL, about 100 users at a time.

use crate::domain::sync::unread;
use crate::engine::delivery::Delivery;
use std::time::Duration;

/// Each round is one query for about 100 users, so a node audits 36,000 users in an hour: often enough for errors that
/// should never occur.
const INTERVAL: Duration = Duration::from_secs(10);

/// Runs until it is dropped.
pub async fn run(delivery: &Delivery) {
    let mut at = unread::Walk::default();
    loop {
        tokio::time::sleep(INTERVAL).await;
        // `Pg` or the circuit breaker has logged a failure, and the next round begins at the same position.
        if let Ok(next) = unread::audit_some(delivery, at).await {
            at = next;
        }
    }
}
