//! The subscriptions to notices from other nodes: what is missing is asked for again and again, then every wait looks again;
//! those of users who wait no more are ended.

use crate::domain::sync::notices;
use crate::engine::delivery::Delivery;
use crate::engine::waiting::reconcile;
use std::time::Duration;

/// How long a subscription outlives its last wait, about: a client that polls again at once finds it there.
const IDLE: Duration = Duration::from_secs(10);

/// How often to look where the slots of a cluster are.
const FOLLOW: Duration = Duration::from_secs(1);

/// How often to ask for what is missing.
const RETRY: Duration = Duration::from_millis(200);

/// Keeps at it until it is dropped.
pub async fn run(delivery: &Delivery) {
    let mut idle = tokio::time::interval(IDLE);
    let mut follow = tokio::time::interval(FOLLOW);
    loop {
        tokio::select! {
            () = delivery.notices_lost.notified() => {
                let renewed = delivery.notices.renew().await;
                let missing = !delivery.notices.missing().is_empty();
                // What was published until a subscription stands again is lost. One may stand again without our doing.
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
