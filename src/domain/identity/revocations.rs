//! Devices that are logged out, on this node and on the others, and the clock that tokens are judged by.

use crate::engine::error::Error;
use crate::engine::handles::App;
use crate::model::ids::{DeviceId, UserId};
use crate::storage::pg::identity::accounts as rows;
use crate::storage::pg::operations::instance;
use std::collections::HashSet;
use std::time::Duration;

/// The longest life of any access token: the most that can be set, and what the seed issues.
pub(super) const LONGEST_ACCESS: Duration = Duration::from_secs(86_400);

/// Ends what a logged-out device still does on this node; other nodes learn of it by [`reload_revoked`].
pub(crate) fn forget_device(app: &App, user: UserId, device: DeviceId) {
    app.revoked.add(device);
    app.waiters.end_device(user, device);
}

/// Learns what time it is by the clock that tokens are judged by.
pub async fn set_clock(app: &App) -> Result<(), Error> {
    let now = app.pg.read("clock", instance::clock).await?;
    app.tokens.clock.set(now);
    Ok(())
}

/// Learns which devices were logged out on any node, and ends their waits: those of the last minute, or all whose
/// tokens may still live.
pub async fn reload_revoked(app: &App, all: bool) -> Result<(), Error> {
    // What is not found again is forgotten, but not what is noted while the query runs.
    let before = match all {
        true => app.revoked.all(),
        false => HashSet::new(),
    };
    // A minute more than needed, for transactions that commit late and clocks that differ.
    let window = Duration::from_secs(60) + if all { LONGEST_ACCESS } else { Duration::ZERO };
    let devices = app
        .pg
        .read("revoked_devices", move |conn| {
            rows::revoked_devices(conn, window.as_secs_f64())
        })
        .await?;
    app.revoked
        .replace(&before, devices.iter().map(|(_, device)| *device));
    // Only now: a wait that begins meanwhile finds its device noted, or is found parked, and a client that is told so does not
    // get in again.
    for (user, device) in devices {
        app.waiters.end_device(user, device);
    }
    Ok(())
}
