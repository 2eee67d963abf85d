//! The end of an account at the wish of its owner: deactivation, which a login ends, and deletion, which is the same with an erasure
//! at a later time.

use crate::domain::identity::revocations::forget_device;
use crate::engine::auth::Auth;
use crate::engine::error::Error;
use crate::model::account::{Caller, Password};
use crate::model::time::Timestamp;
use crate::storage::pg::desk::seats;
use crate::storage::pg::identity::{account_ends as rows, accounts, devices};

/// How often a password is checked: the hash may be renewed during the first check.
const MAX_CHECKS: usize = 2;

/// The hash of accounts without a password.
pub const NO_PASSWORD: &str = "!";

/// Deactivates the caller's account: all devices are logged out, until the next login.
pub async fn deactivate(
    auth: &Auth,
    caller: Caller,
    password: Option<Password>,
) -> Result<(), Error> {
    end(auth, caller, password, None).await?;
    Ok(())
}

/// Deactivates the caller's account, and returns the time of its erasure. A login before calls the erasure off.
pub async fn delete(
    auth: &Auth,
    caller: Caller,
    password: Option<Password>,
) -> Result<Timestamp, Error> {
    let days = auth.config.erase_days;
    let erase_at = end(auth, caller, password, Some(days)).await?;
    erase_at.ok_or_else(|| Error::Internal("a deleted account without a time".to_owned()))
}

/// Accounts without a password prove themselves by a session of less than ten minutes.
async fn end(
    auth: &Auth,
    caller: Caller,
    password: Option<Password>,
    erase_days: Option<i32>,
) -> Result<Option<Timestamp>, Error> {
    let (user, device) = (caller.user, caller.device);
    for _ in 0..MAX_CHECKS {
        let stored = auth
            .pg
            .read("password", move |conn| accounts::password_hash(conn, user))
            .await?;
        let has_password = stored.as_deref() != Some(NO_PASSWORD);
        let matched = match (&password, has_password) {
            (Some(password), true) => auth.passwords.check(password.clone(), stored).await?,
            _ => None,
        };
        if has_password && matched.is_none() {
            break;
        }
        let ended = auth
            .pg
            .transaction("end_account", move |conn| {
                // The password may have changed during the check.
                let known = matched
                    .as_ref()
                    .map_or(NO_PASSWORD, |matched| &matched.hash);
                let account = rows::lock(conn, user)?;
                if account.is_none_or(|account| account.password_hash != known) {
                    return Ok(Ok(None));
                }
                if !has_password && !rows::is_new_device(conn, user, device)? {
                    return Ok(Err(Error::InvalidCredentials));
                }
                if !seats::remove_all(conn, user)? {
                    let why = "a desk keeps at least one admin: make another user its admin first";
                    return Ok(Err(Error::Conflict(why)));
                }
                let removed = devices::remove_others(conn, user, None)?;
                if !removed.contains(&device) {
                    return Ok(Err(Error::DeviceRevoked));
                }
                Ok(Ok(Some((
                    removed,
                    rows::deactivate(conn, user, erase_days)?,
                ))))
            })
            .await??;
        if let Some((removed, erase_at)) = ended {
            for device in removed {
                forget_device(auth, user, device);
            }
            auth.waiters.presence.announce(user);
            return Ok(erase_at);
        }
    }
    Err(Error::InvalidCredentials)
}
