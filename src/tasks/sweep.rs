//! Looks every few seconds for what waits have missed.

use crate::engine::delivery::Delivery;
use crate::engine::waiting::reconcile;
use std::time::Duration;

/// Sweep and query together stay below the promised five seconds.
const EVERY: Duration = Duration::from_secs(3);

/// Sweeps until it is dropped.
pub async fn run(delivery: &Delivery) {
    loop {
        tokio::time::sleep(EVERY).await;
        reconcile::once(delivery).await;
    }
}
