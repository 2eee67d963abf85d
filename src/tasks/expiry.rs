//! Erases expired messages.

use crate::domain::operations::expiry;
use crate::engine::delivery::Delivery;
use std::time::Duration;

/// Reads show stubs without it. Unread counts fall this much late.
const INTERVAL: Duration = Duration::from_secs(5);

/// Runs until it is dropped.
pub async fn run(delivery: &Delivery) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        expiry::sweep(delivery).await;
    }
}
