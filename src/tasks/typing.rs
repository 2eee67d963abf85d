//! Wakes the waits that look at conversations in which somebody begins or ends typing.

use crate::domain::sync::typing;
use crate::engine::delivery::Delivery;
use std::time::Duration;

/// How often the ends of typing are looked for, while somebody types.
const INTERVAL: Duration = Duration::from_millis(200);

/// Runs until it is dropped.
pub async fn run(delivery: &Delivery) {
    loop {
        delivery.waiters.typing.changed.notified().await;
        while !delivery.waiters.typing.is_idle() {
            typing::wake(delivery).await;
            tokio::time::sleep(INTERVAL).await;
        }
    }
}
