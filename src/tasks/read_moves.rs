//! Wakes every second the waits that watch a conversation in which a read position moved.

use crate::domain::sync::read_moves;
use crate::engine::delivery::Delivery;
use std::time::Duration;

/// A watcher is woken at most this often.
const INTERVAL: Duration = Duration::from_secs(1);

/// Runs until it is dropped.
pub async fn run(delivery: &Delivery) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        read_moves::announce(delivery).await;
    }
}
