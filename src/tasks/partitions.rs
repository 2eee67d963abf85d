//! Keeps the inbox's weekly partitions ahead of time, and drops the expired ones.

use crate::domain::operations::partitions;
use crate::engine::delivery::Delivery;
use crate::engine::lifecycle::Lifecycle;
use std::time::Duration;

/// Weeks are made weeks ahead, so this need not be often.
const EVERY: Duration = Duration::from_secs(3_600);

/// Keeps at it until it is dropped.
pub async fn run(delivery: &Delivery, lifecycle: &Lifecycle) {
    loop {
        // Errors were logged by the door, and the next round tries again; a transaction that misses a partition makes it.
        let _later = partitions::make(delivery, lifecycle).await;
        let _later = partitions::expire(delivery).await;
        tokio::time::sleep(EVERY).await;
    }
}
