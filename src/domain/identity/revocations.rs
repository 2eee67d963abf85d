//! Logged-out devices, on this node and on the others, and the clock for checking tokens.

use crate::engine::auth::Auth;
use crate::engine::error::Error;
use crate::model::ids::{DeviceId, UserId};
use crate::storage::pg::identity::accounts as rows;
use crate::storage::pg::operations::instance;
use std::collections::HashSet;
use std::time::Duration;

/// The longest lifetime of an access token: the highest allowed setting, which the seed uses.
pub(super) const LONGEST_ACCESS: Duration = Duration::from_secs(86_400);

/// Revokes a logged-out device on this node, and ends its waits. Other nodes learn of it by [`reload_revoked`].
pub(crate) fn forget_device(auth: &Auth, user: UserId, device: DeviceId) {
    auth.revoked.add(device);
    auth.waiters.end_device(user, device);
}

/// Sets the clock for checking tokens to the time of PostgreSQL.
pub async fn set_clock(auth: &Auth) -> Result<(), Error> {
    let now = auth.pg.read("clock", instance::clock).await?;
    auth.tokens.clock.set(now);
    Ok(())
}

/// Loads the devices that were logged out on any node, and ends their waits: those of the last minute, or with `all` every
/// device whose access tokens may not have expired.
pub async fn reload_revoked(auth: &Auth, all: bool) -> Result<(), Error> {
    // Devices that the query does not return are removed, except those that are added while it runs.
    let before = match all {
        true => auth.revoked.all(),
        false => HashSet::new(),
    };
    // A minute more than needed, for late commits and clocks that differ.
    let window = Duration::from_secs(60) + if all { LONGEST_ACCESS } else { Duration::ZERO };
    let devices = auth
        .pg
        .read("revoked_devices", move |conn| {
            rows::revoked_devices(conn, window.as_secs_f64())
        })
        .await?;
    auth.revoked
        .replace(&before, devices.iter().map(|(_, device)| *device));
    // Only after the devices are added: a wait that begins meanwhile either sees its device revoked or is registered and is
    // ended here. So an ended client cannot begin another wait.
    for (user, device) in devices {
        auth.waiters.end_device(user, device);
    }
    Ok(())
}
