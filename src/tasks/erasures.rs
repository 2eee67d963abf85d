//! Deletes rows that nobody sees: reactions to recalled messages, and requests that have expired.

use crate::domain::messaging::reactions;
use crate::domain::people::contact_requests;
use crate::engine::delivery::Delivery;
use std::time::Duration;

/// Nobody sees these rows, so a minute is often enough.
const INTERVAL: Duration = Duration::from_secs(60);

/// Runs until it is dropped.
pub async fn run(delivery: &Delivery) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        reactions::erase_recalled(delivery).await;
        contact_requests::delete_expired(delivery).await;
    }
}
