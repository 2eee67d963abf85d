//! The devices of a user: seeing them, and logging them out.

use crate::app::App;
use crate::domain::accounts::{CHECKS, forget_device, still_fits};
use crate::domain::error::Error;
use crate::model::account::{Caller, Device, Password};
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

/// Changes the caller's password, logs the caller's other devices out, and ends every refresh token of this one but that which
/// came with the access token of the request: whoever knew the old password may have logged in under the id of this device.
pub async fn change_password(
    app: &App,
    caller: Caller,
    old: Password,
    new: Password,
) -> Result<(), Error> {
    for _ in 0..CHECKS {
        let stored = app
            .pg
            .read("password", move |conn| {
                accounts::password_hash(conn, caller.user)
            })
            .await?;
        let Some(fitted) = app.passwords.check(old.clone(), stored).await? else {
            break;
        };
        let hash = app.passwords.hash(new.clone()).await?;
        let removed = app
            .pg
            .transaction("change_password", move |conn| {
                if !still_fits(conn, caller.user, &fitted)? {
                    return Ok(Ok(None));
                }
                let (user, device) = (caller.user, caller.device);
                if !accounts::end_other_refreshes(conn, user, device, caller.generation)? {
                    return Ok(Err(Error::DeviceRevoked));
                }
                accounts::replace_password(conn, user, &hash)?;
                Ok(Ok(Some(devices::remove_others(conn, user, device)?)))
            })
            .await??;
        if let Some(removed) = removed {
            for device in removed {
                forget_device(app, caller.user, device);
            }
            return Ok(());
        }
    }
    // Of two changes at once the second one does not know the password any more.
    Err(Error::InvalidCredentials)
}
