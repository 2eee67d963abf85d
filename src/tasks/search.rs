//! Writes the index of the search.

use crate::domain::search::indexing;
use crate::engine::delivery::Delivery;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// The pause between two slices of the sweep, 500 conversations each, while none is behind.
const SLICE_PAUSE: Duration = Duration::from_secs(6);

/// Runs until it is dropped.
pub async fn run(delivery: &Delivery) {
    let (Some(service), Some(pause)) = (&delivery.search, delivery.config.index_pause) else {
        return;
    };
    let hinted = async {
        loop {
            for id in service.hints.take().await {
                // `Pg` has logged an error, and the sweep finds what is left.
                let _logged = indexing::index_and_hint(delivery, id).await;
            }
            sleep(pause).await;
        }
    };
    tokio::join!(hinted, sweep(delivery));
}

async fn sweep(delivery: &Delivery) {
    let mut pause = interval(SLICE_PAUSE);
    pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut after, mut missing) = (None, 0);
    loop {
        let Ok(swept) = indexing::sweep(delivery, after).await else {
            pause.tick().await;
            continue;
        };
        after = swept.last;
        missing += swept.missing;
        if after.is_none() {
            // `Pg` has logged an error.
            let marked = indexing::write_marked(delivery).await.unwrap_or(0);
            delivery.metrics.search_lag_blocks.set(missing + marked);
            missing = 0;
        }
        if swept.missing == 0 || swept.failed {
            pause.tick().await;
        }
    }
}
