//! A wait for nothing. Whatever stands between a client and us (proxies, load balancers, the boxes of mobile networks) may
//! cut a request that is silent for too long, and the client sees only that it was cut. Here it waits for as long as it
//! asked, whatever happens in its inbox, so that what ends the wait earlier is in between.

use crate::engine::error::Error;
use crate::engine::lifecycle::Lifecycle;
use crate::model::ids::UserId;
use std::time::{Duration, Instant};

/// What a wait came to.
pub struct Waited {
    /// How long it took.
    pub waited: Duration,
    /// It was cut short, since the node is going away.
    pub reconnect: bool,
}

/// Waits for so long, and for nothing else. It holds no thread and no connection to anything.
pub async fn longpoll(
    lifecycle: &Lifecycle,
    user: UserId,
    timeout: Duration,
) -> Result<Waited, Error> {
    let started = Instant::now();
    let _slot = lifecycle.diagnostics.enter(user)?;
    // Made before the look: it hears of a drain that begins in between.
    let drained = lifecycle.diagnostics.drained();
    let reconnect = lifecycle.is_draining() || tokio::time::timeout(timeout, drained).await.is_ok();
    Ok(Waited {
        waited: started.elapsed(),
        reconnect,
    })
}
