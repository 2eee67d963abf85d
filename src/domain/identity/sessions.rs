//! Registration, login, refresh, logout, change of password, and authentication of requests.

use crate::clock;
use crate::domain::identity::accounts;
use crate::domain::identity::devices::LIMIT;
use crate::domain::identity::revocations::forget_device;
use crate::engine::auth::Auth;
use crate::engine::auth::passwords::MatchedHash;
use crate::engine::auth::tokens::RefreshToken;
use crate::engine::auth::used_generations::REPEAT;
use crate::engine::error::Error;
use crate::model::account::{AccountState, Caller, DeactivatedBy, DeviceInfo, Password, Username};
use crate::model::ids::{DeviceId, UserId};
use crate::model::wire::user::User;
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::identity::account_ends::LockedAccount;
use crate::storage::pg::identity::{account_ends, accounts as rows, devices, users};
use std::net::IpAddr;
use std::time::Duration;

/// How often a password is checked. The second time is for a hash that changed during the first check: if it was only
/// renewed, the password must not be refused.
const MAX_CHECKS: usize = 2;

/// A logged-in device and its tokens.
#[derive(Debug)]
pub struct Session {
    /// The user.
    pub user: User,
    /// The device.
    pub device: DeviceId,
    /// The access token.
    pub access_token: String,
    /// The lifetime of the access token.
    pub access_life: Duration,
    /// The refresh token.
    pub refresh_token: String,
    /// The lifetime of the refresh token.
    pub refresh_life: Duration,
}

/// Creates an account and logs it in, if registration is open.
pub async fn register(
    auth: &Auth,
    username: Username,
    password: Password,
    display_name: Option<String>,
    device: DeviceInfo,
) -> Result<Session, Error> {
    if !auth.config.open_registration {
        return Err(Error::Forbidden("only the operator makes accounts here"));
    }
    let id = UserId(clock::new_id());
    let refresh = auth.tokens.first_refresh(id, DeviceId(clock::new_id()), 0);
    let first = Some((refresh.device, refresh.hash(), device));
    let user = accounts::insert(auth, id, username, password, display_name, first).await?;
    session(auth, user, &refresh, auth.config.refresh_token)
}

/// Logs in with a password, on a new device or a known one of the user.
pub async fn login(
    auth: &Auth,
    username: Option<Username>,
    password: Password,
    known_device: Option<DeviceId>,
    device: DeviceInfo,
) -> Result<Session, Error> {
    for _ in 0..MAX_CHECKS {
        let (user, hash) = credentials(auth, username.clone()).await?;
        let matched = auth.passwords.check(password.clone(), hash).await?;
        let (Some(user), Some(matched)) = (user, matched) else {
            break;
        };
        if let Some(refresh) = log_in(auth, user.id, matched, known_device, device.clone()).await? {
            return session(auth, user, &refresh, auth.config.refresh_token);
        }
    }
    Err(Error::InvalidCredentials)
}

async fn credentials(
    auth: &Auth,
    username: Option<Username>,
) -> Result<(Option<User>, Option<String>), Error> {
    let Some(name) = username else {
        return Ok((None, None));
    };
    let found = auth
        .pg
        .read("login", move |conn| {
            let Some(user) = users::user_by_name(conn, &name)? else {
                return Ok((None, None));
            };
            let hash = rows::password_hash(conn, user.id)?;
            Ok((Some(user), hash))
        })
        .await?;
    Ok(found)
}

/// Whether the hash that a password matched is still the user's. It locks the user's row, so a change of the password either
/// committed before and is visible here, or comes after this transaction.
fn still_matches(
    conn: &mut Connection,
    user: UserId,
    matched: &MatchedHash,
) -> StorageResult<Option<LockedAccount>> {
    let account = account_ends::lock(conn, user)?;
    Ok(account.filter(|account| account.password_hash == matched.hash))
}

/// Logs in on a device. `None` if the password was changed after the check. An account that its owner has deactivated is in use again,
/// and its erasure is called off.
async fn log_in(
    auth: &Auth,
    user: UserId,
    matched: MatchedHash,
    known_device: Option<DeviceId>,
    info: DeviceInfo,
) -> Result<Option<RefreshToken>, Error> {
    let seconds = auth.config.refresh_token.as_secs_f64();
    let tokens = auth.tokens.clone();
    let new_device = DeviceId(clock::new_id());
    let logged_in = auth
        .pg
        .transaction("log_in", move |conn| {
            let Some(account) = still_matches(conn, user, &matched)? else {
                return Ok(Ok(None));
            };
            match account.state {
                AccountState::Active => {}
                AccountState::Deactivated(DeactivatedBy::Person) => {
                    account_ends::reactivate(conn, user)?;
                }
                AccountState::Deactivated(DeactivatedBy::Operator) | AccountState::Deleted => {
                    return Ok(Err(Error::UserDeactivated));
                }
            }
            if let Some(renewed) = &matched.renewed {
                rows::replace_password(conn, user, renewed)?;
            }
            if let Some(device) = known_device {
                let locked = rows::lock_device(conn, user, device, 0.0)?;
                if let Some(locked) = locked.filter(|locked| !locked.revoked) {
                    let refresh = tokens.first_refresh(user, device, locked.refresh_generation + 1);
                    rows::relogin_device(conn, user, device, &info, &refresh.hash(), seconds)?;
                    return Ok(Ok(Some((refresh, Vec::new()))));
                }
            }
            let removed = devices::make_room(conn, user, LIMIT - 1)?;
            let refresh = tokens.first_refresh(user, new_device, 0);
            rows::create_device(conn, user, new_device, &info, &refresh.hash(), seconds)?;
            Ok(Ok(Some((refresh, removed))))
        })
        .await??;
    Ok(logged_in.map(|(refresh, removed)| {
        for device in removed {
            forget_device(auth, user, device);
        }
        refresh
    }))
}

enum Refreshed {
    Rotated(User),
    Repeated(User, i64),
    Reused,
}

/// Rotates a refresh token. For the grace period, the used token gets the same successor again, until the successor or its
/// access token is first used. Any later use means that two parties have the token, and logs the device out.
pub async fn refresh(auth: &Auth, token: &str) -> Result<Session, Error> {
    let old = auth
        .tokens
        .parse_refresh(token)
        .ok_or(Error::RefreshInvalid)?;
    let next = auth.tokens.next_refresh(&old);
    let seconds = auth.config.refresh_token.as_secs_f64();
    let (user, device) = (old.user, old.device);
    let (old_hash, next_hash) = (old.hash(), next.hash());
    let refreshed = auth
        .pg
        .transaction("refresh", move |conn| {
            let Some(locked) = rows::lock_device(conn, user, device, REPEAT.as_secs_f64())? else {
                return Ok(Err(Error::RefreshInvalid));
            };
            if locked.revoked {
                return Ok(Err(Error::DeviceRevoked));
            }
            let Some(known) = users::users_by_ids(conn, &[user])?.pop() else {
                return Ok(Err(Error::RefreshInvalid));
            };
            if locked.refresh_hash == old_hash {
                if locked.expired {
                    return Ok(Err(Error::RefreshInvalid));
                }
                rows::rotate_refresh(conn, user, device, &next_hash, seconds)?;
                return Ok(Ok(Refreshed::Rotated(known)));
            }
            if locked.grace_period_hash.as_ref() == Some(&old_hash) {
                return Ok(Ok(Refreshed::Repeated(known, locked.seconds_left)));
            }
            devices::remove(conn, user, device)?;
            Ok(Ok(Refreshed::Reused))
        })
        .await??;
    match refreshed {
        Refreshed::Rotated(user) => session(auth, user, &next, auth.config.refresh_token),
        Refreshed::Repeated(user, left) => {
            session(auth, user, &next, Duration::from_secs(left.unsigned_abs()))
        }
        Refreshed::Reused => {
            forget_device(auth, old.user, device);
            Err(Error::RefreshInvalid)
        }
    }
}

fn session(
    auth: &Auth,
    user: User,
    refresh: &RefreshToken,
    refresh_life: Duration,
) -> Result<Session, Error> {
    let life = auth.tokens.access_life();
    let access_token =
        auth.tokens
            .issue_access(user.id, refresh.device, refresh.generation, life)?;
    Ok(Session {
        user,
        device: refresh.device,
        access_token,
        access_life: life,
        refresh_token: refresh.text(),
        refresh_life,
    })
}

/// Logs the caller's device out.
pub async fn logout(auth: &Auth, caller: Caller) -> Result<(), Error> {
    auth.pg
        .transaction("logout", move |conn| {
            devices::remove(conn, caller.user, caller.device).map(Ok::<_, Error>)
        })
        .await??;
    forget_device(auth, caller.user, caller.device);
    Ok(())
}

/// The caller with this access token.
pub async fn authenticate(auth: &Auth, token: &str, address: IpAddr) -> Result<Caller, Error> {
    let claims = auth.tokens.check_access(token)?;
    if auth.revoked.contains(claims.device_id) {
        return Err(Error::DeviceRevoked);
    }
    let age = auth.tokens.clock.now() - claims.iat;
    let key = (claims.device_id, claims.generation);
    // After `REPEAT` the previous refresh token is invalid anyway. Twice that allows for clocks that differ.
    let matters = claims.generation > 0 && age < 2 * REPEAT.as_secs().cast_signed();
    if matters && !auth.used_generations.seen(key) {
        auth.pg
            .read("confirm_refresh", move |conn| {
                rows::confirm_refresh(conn, claims.sub, claims.device_id, claims.generation)
            })
            .await?;
        auth.used_generations.add(key);
    }
    Ok(Caller {
        user: claims.sub,
        device: claims.device_id,
        generation: claims.generation,
        token_expires: claims.exp,
        address,
    })
}

/// Changes the caller's password, logs the caller's other devices out, and revokes all refresh tokens of this device except
/// the one issued with the access token of the request: an attacker with the old password may have logged in under its id.
pub async fn change_password(
    auth: &Auth,
    caller: Caller,
    old: Password,
    new: Password,
) -> Result<(), Error> {
    for _ in 0..MAX_CHECKS {
        let stored = auth
            .pg
            .read("password", move |conn| {
                rows::password_hash(conn, caller.user)
            })
            .await?;
        let Some(matched) = auth.passwords.check(old.clone(), stored).await? else {
            break;
        };
        let hash = auth.passwords.hash(new.clone()).await?;
        let removed = auth
            .pg
            .transaction("change_password", move |conn| {
                if still_matches(conn, caller.user, &matched)?.is_none() {
                    return Ok(Ok(None));
                }
                let (user, device) = (caller.user, caller.device);
                if !rows::end_other_refreshes(conn, user, device, caller.generation)? {
                    return Ok(Err(Error::DeviceRevoked));
                }
                rows::replace_password(conn, user, &hash)?;
                Ok(Ok(Some(devices::remove_others(conn, user, Some(device))?)))
            })
            .await??;
        if let Some(removed) = removed {
            for device in removed {
                forget_device(auth, caller.user, device);
            }
            return Ok(());
        }
    }
    // Of two concurrent changes, the second one has the wrong old password.
    Err(Error::InvalidCredentials)
}
