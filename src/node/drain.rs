//! The ramp over which a draining node sends its waits to other nodes.

use crate::clock;
use crate::engine::waiting::registry::WaitRegistry;
use std::time::{Duration, Instant};

/// The time between two steps of the ramp.
const INTERVAL: Duration = Duration::from_millis(50);

/// The part of the drain time for the end of the process after its node has stopped: it flushes the log, and waits for
/// connections that libpq is opening.
pub const LEAVING: Duration = Duration::from_millis(500);

/// actix closes the connections that are open when its server stops, but checks only after this time that they are closed.
const CHECK: Duration = Duration::from_secs(1);

/// Half of the drain time is for the ramp, and the rest for the other requests.
pub(super) fn ramp_time(drain: Duration) -> Duration {
    drain.saturating_sub(LEAVING + CHECK) / 2
}

/// Asks all waits to reconnect, evenly over the ramp, in random order. Without waits it takes as long: the node has to serve
/// until load balancers have seen that it is not ready.
pub(super) async fn ramp(waiters: &WaitRegistry, ramp: Duration) {
    let end = Instant::now() + ramp;
    let mut users: Vec<_> = waiters
        .positions()
        .into_iter()
        .map(|(user, _)| (clock::jitter(), user))
        .collect();
    users.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let steps = usize::try_from(ramp.as_millis() / INTERVAL.as_millis())
        .unwrap_or(1)
        .max(1);
    for chunk in users.chunks(users.len().div_ceil(steps).max(1)) {
        for (_, user) in chunk {
            waiters.reconnect(*user);
        }
        tokio::time::sleep(INTERVAL).await;
    }
    tokio::time::sleep_until(end.into()).await;
    // Waits that registered during the ramp, and have not yet checked for the drain.
    for (user, _) in waiters.positions() {
        waiters.reconnect(user);
    }
}
