//! The ramp by which a node that stops sends its waits to other nodes.

use crate::clock;
use crate::engine::waiting::registry::WaitRegistry;
use std::time::{Duration, Instant};

/// How often a ramp asks some of the parked waits to reconnect.
const STEP: Duration = Duration::from_millis(50);

/// The part of the drain time that the process needs after its node has stopped: to write the last lines of its log, and to
/// wait for connections that libpq is making.
pub const LEAVING: Duration = Duration::from_millis(500);

/// Half of the drain time is for the ramp of waits, the rest for the requests that are under way.
pub(super) fn ramp_time(drain: Duration) -> Duration {
    drain.saturating_sub(LEAVING) / 2
}

/// Asks all parked waits to reconnect, evenly over the ramp, in random order. Without waits it takes as long: load balancers
/// remove the node by its readiness, and until then it serves.
pub(super) async fn ramp(waiters: &WaitRegistry, ramp: Duration) {
    let end = Instant::now() + ramp;
    let mut users: Vec<_> = waiters
        .positions()
        .into_iter()
        .map(|(user, _)| (clock::jitter(), user))
        .collect();
    users.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let steps = usize::try_from(ramp.as_millis() / STEP.as_millis())
        .unwrap_or(1)
        .max(1);
    for chunk in users.chunks(users.len().div_ceil(steps).max(1)) {
        for (_, user) in chunk {
            waiters.reconnect(*user);
        }
        tokio::time::sleep(STEP).await;
    }
    tokio::time::sleep_until(end.into()).await;
    // Waits that checked for the drain just before it began, and were registered after the list was made.
    for (user, _) in waiters.positions() {
        waiters.reconnect(user);
    }
}
