//! Takes over the processing of uploads whose node has stopped, and collects media that nobody refers to.

use crate::domain::media::{collection, processing};
use crate::engine::delivery::Delivery;
use std::sync::Arc;
use std::time::Duration;

/// How late a stopped run is taken over.
const TAKE_OVER: Duration = Duration::from_secs(5);

/// The time between two collections.
const COLLECTION: Duration = Duration::from_secs(30);

/// Runs until it is dropped.
pub async fn run(delivery: &Arc<Delivery>) {
    if delivery.media.is_none() {
        return;
    }
    let take_over = async {
        loop {
            if let Err(error) = processing::take_over(delivery).await {
                log::warn!("media: no look for stopped uploads: {error:?}");
            }
            tokio::time::sleep(TAKE_OVER).await;
        }
    };
    let collect = async {
        loop {
            if let Err(error) = collection::collect(delivery).await {
                log::warn!("media: no collection: {error:?}");
            }
            tokio::time::sleep(COLLECTION).await;
        }
    };
    tokio::join!(take_over, collect);
}
