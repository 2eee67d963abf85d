//! Stores every 10 seconds how far devices have their inboxes.

use crate::domain::sync::delivered;
use crate::engine::delivery::Delivery;
use std::time::Duration;

/// A receipt says "delivered" at most this much late. A device that moves all the time is written once in it.
const INTERVAL: Duration = Duration::from_secs(10);

/// Runs until it is dropped.
pub async fn run(delivery: &Delivery) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        delivered::flush(delivery).await;
    }
}
