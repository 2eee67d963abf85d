//! Runs the sweep every 3 seconds.

use crate::engine::delivery::Delivery;
use crate::engine::waiting::reconcile;
use std::time::Duration;

/// With the query, this stays below the promised five seconds.
const INTERVAL: Duration = Duration::from_secs(3);

/// Runs until it is dropped.
pub async fn run(delivery: &Delivery) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        reconcile::once(delivery).await;
    }
}
