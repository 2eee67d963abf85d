//! Publishes who is online, and finds out which nodes are gone.

use crate::domain::sync::presence::{self, Heartbeat, Published};
use crate::engine::auth::Auth;
use crate::engine::delivery::Delivery;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

/// Runs until it is dropped.
pub async fn run(delivery: &Delivery, auth: &Auth) {
    if !delivery.waiters.presence.is_on {
        return;
    }
    // PostgreSQL may be slow, and a beat must not be late for that.
    tokio::join!(
        publish(delivery, auth),
        count(delivery),
        beat(delivery, auth)
    );
}

/// A process that was suspended does not count the time.
fn every(period: std::time::Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn publish(delivery: &Delivery, auth: &Auth) {
    let timings = delivery.waiters.presence.timings;
    let mut ticks = every(timings.tick);
    let mut published = Published::default();
    loop {
        ticks.tick().await;
        presence::tick(delivery, auth, &mut published).await;
        presence::wake(delivery).await;
    }
}

async fn count(delivery: &Delivery) {
    let mut ticks = every(delivery.waiters.presence.timings.tick);
    loop {
        ticks.tick().await;
        delivery.waiters.presence.mine.advance();
    }
}

async fn beat(delivery: &Delivery, auth: &Auth) {
    let timings = delivery.waiters.presence.timings;
    let now = || auth.tokens.clock.now();
    let mut heartbeat = Heartbeat::default();
    // The second beat comes early: the node is not ready before.
    presence::beat(delivery, now(), &mut heartbeat).await;
    tokio::time::sleep(timings.tick).await;
    let mut beats = every(timings.beat);
    let mut stored = Instant::now();
    loop {
        beats.tick().await;
        presence::beat(delivery, now(), &mut heartbeat).await;
        if stored.elapsed() >= timings.last_seen {
            presence::store_last_seen(delivery, now(), &mut heartbeat).await;
            stored = Instant::now();
        }
    }
}
