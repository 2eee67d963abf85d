//! Erases deleted accounts.

use crate::domain::operations::account_erasure;
use crate::engine::delivery::Delivery;
use std::time::Duration;

/// An account is erased at most about this much late.
const INTERVAL: Duration = Duration::from_secs(30);

/// Runs until it is dropped.
pub async fn run(delivery: &Delivery) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        account_erasure::erase_due(delivery).await;
    }
}
