//! The devices of a user: seeing them, and logging them out.

use crate::app::App;
use crate::domain::accounts::forget_device;
use crate::domain::error::Error;
use crate::model::account::{Caller, Device};
use crate::model::ids::DeviceId;
use crate::storage::pg::{accounts, devices};

/// How many devices a user may have: over it the least recently seen one is logged out.
pub const LIMIT: i64 = 20;

/// The caller's devices.
pub async fn list(app: &App, caller: Caller) -> Result<Vec<Device>, Error> {
    let devices = app
        .pg
        .read("devices", move |conn| {
            devices::list(conn, caller.user, caller.device)
        })
        .await?;
    Ok(devices)
}

/// Logs one of the caller's devices out: its tokens stop working on every node within seconds, its wait ends.
pub async fn remove(app: &App, caller: Caller, device: DeviceId) -> Result<(), Error> {
    app.pg
        .transaction("remove_device", move |conn| {
            let removed = devices::remove(conn, caller.user, device)?;
            Ok(if removed {
                Ok(())
            } else {
                Err(Error::NotFound)
            })
        })
        .await??;
    forget_device(app, caller.user, device);
    Ok(())
}

/// Changes the caller's password, and logs the caller's other devices out.
pub async fn change_password(
    app: &App,
    caller: Caller,
    old: String,
    new: String,
) -> Result<(), Error> {
    let stored = app
        .pg
        .read("password", move |conn| {
            accounts::password_hash(conn, caller.user)
        })
        .await?;
    if !app.passwords.check(old, stored.clone()).await? {
        return Err(Error::InvalidCredentials);
    }
    let hash = app.passwords.hash(new).await?;
    let removed = app
        .pg
        .transaction("change_password", move |conn| {
            // Of two changes at once the second one does not know the password any more.
            if !accounts::replace_password(conn, caller.user, stored.as_deref(), &hash)? {
                return Ok(Err(Error::InvalidCredentials));
            }
            Ok(Ok(devices::remove_others(
                conn,
                caller.user,
                caller.device,
            )?))
        })
        .await??;
    for device in removed {
        forget_device(app, caller.user, device);
    }
    Ok(())
}
