//! Takes over the processing of uploads whose node has stopped, and collects media that nobody refers to.

use crate::domain::media::{collection, processing};
use crate::engine::delivery::Delivery;
use std::sync::Arc;
use std::time::Duration;

/// How late a stopped run is taken over.
const INTERVAL: Duration = Duration::from_secs(5);

/// A collection follows every so many rounds: once in 30 seconds.
const ROUNDS: u32 = 6;

/// Runs until it is dropped.
pub async fn run(delivery: &Arc<Delivery>) {
    if delivery.media.is_none() {
        return;
    }
    for round in (0..ROUNDS).cycle() {
        if let Err(error) = processing::take_over(delivery).await {
            log::warn!("media: no look for stopped uploads: {error:?}");
        }
        if round == 0
            && let Err(error) = collection::collect(delivery).await
        {
            log::warn!("media: no collection: {error:?}");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
