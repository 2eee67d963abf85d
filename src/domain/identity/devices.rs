//! The devices of a user: list and log out.

use crate::domain::identity::revocations::forget_device;
use crate::engine::auth::Auth;
use crate::engine::error::Error;
use crate::model::account::Caller;
use crate::model::ids::DeviceId;
use crate::model::wire::user::Device;
use crate::storage::pg::identity::devices;

/// The maximum number of devices of a user. Beyond it, the least recently seen one is logged out.
pub const LIMIT: i64 = 20;

/// The caller's devices.
pub async fn list(auth: &Auth, caller: Caller) -> Result<Vec<Device>, Error> {
    let devices = auth
        .pg
        .read("devices", move |conn| {
            devices::list(conn, caller.user, caller.device)
        })
        .await?;
    Ok(devices)
}

/// Logs one of the caller's devices out. Its tokens become invalid on every node within seconds, and its wait ends.
pub async fn remove(auth: &Auth, caller: Caller, device: DeviceId) -> Result<(), Error> {
    auth.pg
        .transaction("remove_device", move |conn| {
            let removed = devices::remove(conn, caller.user, device)?;
            Ok(if removed {
                Ok(())
            } else {
                Err(Error::NotFound)
            })
        })
        .await??;
    forget_device(auth, caller.user, device);
    Ok(())
}
