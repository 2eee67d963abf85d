//! The subscriptions to signals of other nodes. Missing ones are requested until they are active, and then every wait reads
//! its head again. Subscriptions without waits are ended.

use crate::domain::sync::notices;
use crate::engine::delivery::Delivery;
use crate::engine::waiting::reconcile;
use std::time::Duration;

/// How often subscriptions without waits are ended. A client that begins its next wait immediately finds its
/// subscription active.
const IDLE: Duration = Duration::from_secs(10);

/// How often the slots of a Redis cluster are read.
const FOLLOW: Duration = Duration::from_secs(1);

/// How often missing subscriptions are requested.
const RETRY: Duration = Duration::from_millis(200);

/// Runs until it is dropped.
pub async fn run(delivery: &Delivery) {
    let mut idle = tokio::time::interval(IDLE);
    let mut follow = tokio::time::interval(FOLLOW);
    loop {
        tokio::select! {
            () = delivery.notices_lost.notified() => {
                let renewed = delivery.notices.renew().await;
                let missing = !delivery.notices.missing().is_empty();
                // Signals until a subscription is active again are lost. The connection may have restored it by itself.
                if renewed || !missing {
                    reconcile::once(delivery).await;
                }
                if missing {
                    tokio::time::sleep(RETRY).await;
                    delivery.notices_lost.notify_one();
                }
            }
            _ = follow.tick() => delivery.notices.follow().await,
            _ = idle.tick() => notices::unsubscribe_idle(delivery).await,
        }
    }
}
