//! Creates the inbox's weekly partitions in advance, and drops expired ones.

use crate::domain::operations::partitions;
use crate::engine::delivery::Delivery;
use crate::engine::lifecycle::Lifecycle;
use std::time::Duration;

/// Partitions are created weeks in advance, so an hour is often enough.
const INTERVAL: Duration = Duration::from_secs(3_600);

/// Runs until it is dropped.
pub async fn run(delivery: &Delivery, lifecycle: &Lifecycle) {
    loop {
        // `Pg` has logged errors, and the next round tries again. A writer creates a missing partition itself.
        let _logged = partitions::make(delivery, lifecycle).await;
        let _logged = partitions::expire(delivery).await;
        tokio::time::sleep(INTERVAL).await;
    }
}
