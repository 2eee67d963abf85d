//! Devices that are logged out, on this node and on the others, and the clock that tokens are judged by.

use crate::engine::auth::Auth;
use crate::engine::error::Error;
use crate::model::ids::{DeviceId, UserId};
use crate::storage::pg::identity::accounts as rows;
use crate::storage::pg::operations::instance;
use std::collections::HashSet;
use std::time::Duration;

/// The longest life of any access token: the most that can be set, and what the seed issues.
pub(super) const LONGEST_ACCESS: Duration = Duration::from_secs(86_400);

/// Ends what a logged-out device still does on this node; other nodes learn of it by [`reload_revoked`].
pub(crate) fn forget_device(auth: &Auth, user: UserId, device: DeviceId) {
    auth.revoked.add(device);
    auth.waiters.end_device(user, device);
}

/// Learns what time it is by the clock that tokens are judged by.
pub async fn set_clock(auth: &Auth) -> Result<(), Error> {
    let now = auth.pg.read("clock", instance::clock).await?;
    auth.tokens.clock.set(now);
    Ok(())
}

/// Learns which devices were logged out on any node, and ends their waits: those of the last minute, or all whose
/// tokens may still live.
pub async fn reload_revoked(auth: &Auth, all: bool) -> Result<(), Error> {
    // What is not found again is forgotten, but not what is noted while the query runs.
    let before = match all {
        true => auth.revoked.all(),
        false => HashSet::new(),
    };
    // A minute more than needed, for transactions that commit late and clocks that differ.
    let window = Duration::from_secs(60) + if all { LONGEST_ACCESS } else { Duration::ZERO };
    let devices = auth
        .pg
        .read("revoked_devices", move |conn| {
            rows::revoked_devices(conn, window.as_secs_f64())
        })
        .await?;
    auth.revoked
        .replace(&before, devices.iter().map(|(_, device)| *device));
    // Only now: a wait that begins meanwhile finds its device noted, or is found parked, and a client that is told so does not
    // get in again.
    for (user, device) in devices {
        auth.waiters.end_device(user, device);
    }
    Ok(())
}
