//! Sends scheduled messages whose time has come.

use crate::domain::messaging::scheduled;
use crate::engine::delivery::Delivery;
use std::time::Duration;

/// A message is sent at most about this much late.
const INTERVAL: Duration = Duration::from_secs(2);

/// Runs until it is dropped.
pub async fn run(delivery: &Delivery) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        scheduled::fire(delivery).await;
    }
}
