//! The diagnostic wait. Proxies, load balancers and the middleboxes of mobile networks may cut a request that is idle for
//! too long, and the client sees only that it was cut. A diagnostic wait lasts for the requested time and ignores the inbox,
//! so an earlier end has its cause on the network path.

use crate::engine::error::Error;
use crate::engine::lifecycle::Lifecycle;
use crate::model::ids::UserId;
use std::time::{Duration, Instant};

/// The result of a diagnostic wait.
pub struct Waited {
    /// Its duration.
    pub waited: Duration,
    /// It ended early, because the node drains.
    pub reconnect: bool,
}

/// Waits for `timeout` or the drain. It holds no thread and no connection to PostgreSQL or Redis.
pub async fn longpoll(
    lifecycle: &Lifecycle,
    user: UserId,
    timeout: Duration,
) -> Result<Waited, Error> {
    let started = Instant::now();
    let _slot = lifecycle.diagnostics.enter(user)?;
    // Created before the check, so that it resolves for a drain that begins in between.
    let drained = lifecycle.diagnostics.drained();
    let reconnect = lifecycle.is_draining() || tokio::time::timeout(timeout, drained).await.is_ok();
    Ok(Waited {
        waited: started.elapsed(),
        reconnect,
    })
}
