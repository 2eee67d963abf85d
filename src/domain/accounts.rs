//! Signing up, logging in, staying logged in, logging out; and who the caller of a request is.

use crate::app::App;
use crate::clock;
use crate::domain::devices::LIMIT;
use crate::domain::error::Error;
use crate::domain::passwords::Fitted;
use crate::domain::tokens::RefreshToken;
use crate::model::account::{Caller, DeviceInfo, Password, User, Username};
use crate::model::ids::{DeviceId, UserId};
use crate::storage::error::StorageResult;
use crate::storage::pg::{Connection, accounts as rows, devices, instance};
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// How long a repeat of a rotated refresh token is answered, if its successor was not used: a lost answer must not log
/// anyone out.
pub(super) const REPEAT: Duration = Duration::from_secs(60);

/// The longest life of any access token: the most that can be set, and what the seed issues.
const LONGEST_ACCESS: Duration = Duration::from_secs(86_400);

/// How often a password is checked: a second time only when the user's hash was changed while the first one went on. A password
/// that fits the new hash as well (it was renewed) must not be refused.
pub(super) const CHECKS: usize = 2;

/// A signed-in device and its tokens.
#[derive(Debug)]
pub struct Session {
    /// Who signed in.
    pub user: User,
    /// On which device.
    pub device: DeviceId,
    /// The access token.
    pub access_token: String,
    /// How long the access token lives.
    pub access_life: Duration,
    /// The refresh token.
    pub refresh_token: String,
    /// How long the refresh token lives.
    pub refresh_life: Duration,
}

/// The devices that this node knows to be logged out while their access tokens would still be good.
#[derive(Default)]
pub struct Revoked(RwLock<HashSet<DeviceId>>);

impl Revoked {
    /// Whether this device is logged out.
    pub fn contains(&self, device: DeviceId) -> bool {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&device)
    }

    fn add(&self, device: DeviceId) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(device);
    }
}

/// Makes an account and signs it in, where anybody may sign up.
pub async fn register(
    app: &App,
    username: Username,
    password: Password,
    display_name: Option<String>,
    device: DeviceInfo,
) -> Result<Session, Error> {
    if !app.config.open_registration {
        return Err(Error::Forbidden("only the operator makes accounts here"));
    }
    let id = UserId(clock::new_id());
    let refresh = app.tokens.first_refresh(id, DeviceId(clock::new_id()), 0);
    let first = Some((refresh.device, refresh.hash(), device));
    let user = insert(app, id, username, password, display_name, first).await?;
    session(app, user, &refresh, app.config.refresh_token)
}

/// Makes an account without a device.
pub async fn create(
    app: &App,
    username: Username,
    password: Password,
    display_name: Option<String>,
) -> Result<User, Error> {
    let id = UserId(clock::new_id());
    insert(app, id, username, password, display_name, None).await
}

/// The account and its first device, with the hash of its refresh token, are made together or not at all.
async fn insert(
    app: &App,
    id: UserId,
    username: Username,
    password: Password,
    display_name: Option<String>,
    first: Option<(DeviceId, Vec<u8>, DeviceInfo)>,
) -> Result<User, Error> {
    let hash = app.passwords.hash(password).await?;
    let name = display_name.unwrap_or_else(|| username.as_str().to_owned());
    let seconds = app.config.refresh_token.as_secs_f64();
    app.pg
        .transaction("create_user", move |conn| {
            let Some(user) = rows::create_user(conn, id, &username, &name, &hash)? else {
                return Ok(Err(Error::Conflict("the username is taken")));
            };
            if let Some((device, refresh_hash, info)) = &first {
                rows::create_device(conn, id, *device, info, refresh_hash, seconds)?;
            }
            Ok(Ok(user))
        })
        .await?
}

/// Signs in with a password, on a new device or one of the user's own.
pub async fn login(
    app: &App,
    username: Option<Username>,
    password: Password,
    known_device: Option<DeviceId>,
    device: DeviceInfo,
) -> Result<Session, Error> {
    for _ in 0..CHECKS {
        let (user, hash) = credentials(app, username.clone()).await?;
        let fitted = app.passwords.check(password.clone(), hash).await?;
        let (Some(user), Some(fitted)) = (user, fitted) else {
            break;
        };
        if let Some(refresh) = sign_in(app, user.id, fitted, known_device, device.clone()).await? {
            return session(app, user, &refresh, app.config.refresh_token);
        }
    }
    Err(Error::InvalidCredentials)
}

async fn credentials(
    app: &App,
    username: Option<Username>,
) -> Result<(Option<User>, Option<String>), Error> {
    let Some(name) = username else {
        return Ok((None, None));
    };
    let found = app
        .pg
        .read("login", move |conn| {
            let Some(user) = rows::user_by_name(conn, &name)? else {
                return Ok((None, None));
            };
            let hash = rows::password_hash(conn, user.id)?;
            Ok((Some(user), hash))
        })
        .await?;
    Ok(found)
}

/// Whether the hash that a password fitted is still the user's, whose row is locked from now on: a change of the password comes
/// before, and is seen, or after, and sees what this transaction did.
pub(super) fn still_fits(
    conn: &mut Connection,
    user: UserId,
    fitted: &Fitted,
) -> StorageResult<bool> {
    Ok(rows::lock_user(conn, user)?.as_ref() == Some(&fitted.hash))
}

/// Signs in on a device, or returns nothing when the password is not the one that was checked any more.
async fn sign_in(
    app: &App,
    user: UserId,
    fitted: Fitted,
    known_device: Option<DeviceId>,
    info: DeviceInfo,
) -> Result<Option<RefreshToken>, Error> {
    let seconds = app.config.refresh_token.as_secs_f64();
    let tokens = app.tokens.clone();
    let new_device = DeviceId(clock::new_id());
    let signed_in = app
        .pg
        .transaction("sign_in", move |conn| {
            if !still_fits(conn, user, &fitted)? {
                return Ok(Ok(None));
            }
            if let Some(renewed) = &fitted.renewed {
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
            Ok(Ok::<_, Error>(Some((refresh, removed))))
        })
        .await??;
    Ok(signed_in.map(|(refresh, removed)| {
        for device in removed {
            forget_device(app, user, device);
        }
        refresh
    }))
}

enum Refreshed {
    Rotated(User),
    Repeated(User, i64),
    Reused,
}

/// Rotates a refresh token. The one before keeps working until its successor, or an access token that came with it, is
/// first used; any later use means that two parties hold it, and logs the device out.
pub async fn refresh(app: &App, token: &str) -> Result<Session, Error> {
    let old = app
        .tokens
        .parse_refresh(token)
        .ok_or(Error::RefreshInvalid)?;
    let next = app.tokens.next_refresh(&old);
    let seconds = app.config.refresh_token.as_secs_f64();
    let (user, device) = (old.user, old.device);
    let (old_hash, next_hash) = (old.hash(), next.hash());
    let refreshed = app
        .pg
        .transaction("refresh", move |conn| {
            let Some(locked) = rows::lock_device(conn, user, device, REPEAT.as_secs_f64())? else {
                return Ok(Err(Error::RefreshInvalid));
            };
            if locked.revoked {
                return Ok(Err(Error::DeviceRevoked));
            }
            let Some(known) = rows::users_by_ids(conn, &[user])?.pop() else {
                return Ok(Err(Error::RefreshInvalid));
            };
            if locked.refresh_hash == old_hash {
                if locked.expired {
                    return Ok(Err(Error::RefreshInvalid));
                }
                rows::rotate_refresh(conn, user, device, &next_hash, seconds)?;
                return Ok(Ok(Refreshed::Rotated(known)));
            }
            if locked.repeatable_hash.as_ref() == Some(&old_hash) {
                return Ok(Ok(Refreshed::Repeated(known, locked.seconds_left)));
            }
            devices::remove(conn, user, device)?;
            Ok(Ok(Refreshed::Reused))
        })
        .await??;
    match refreshed {
        Refreshed::Rotated(user) => session(app, user, &next, app.config.refresh_token),
        Refreshed::Repeated(user, left) => {
            session(app, user, &next, Duration::from_secs(left.unsigned_abs()))
        }
        Refreshed::Reused => {
            forget_device(app, old.user, device);
            Err(Error::RefreshInvalid)
        }
    }
}

fn session(
    app: &App,
    user: User,
    refresh: &RefreshToken,
    refresh_life: Duration,
) -> Result<Session, Error> {
    let life = app.tokens.access_life();
    let access_token =
        app.tokens
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
pub async fn logout(app: &App, caller: Caller) -> Result<(), Error> {
    app.pg
        .transaction("logout", move |conn| {
            devices::remove(conn, caller.user, caller.device).map(Ok::<_, Error>)
        })
        .await??;
    forget_device(app, caller.user, caller.device);
    Ok(())
}

/// Ends what a logged-out device still does on this node; other nodes learn of it by [`reload_revoked`].
pub(super) fn forget_device(app: &App, user: UserId, device: DeviceId) {
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
    let before = if all {
        let known = app.revoked.0.read();
        known.unwrap_or_else(PoisonError::into_inner).clone()
    } else {
        HashSet::new()
    };
    // A minute more than needed, for transactions that commit late and clocks that differ.
    let window = Duration::from_secs(60) + if all { LONGEST_ACCESS } else { Duration::ZERO };
    let devices = app
        .pg
        .read("revoked_devices", move |conn| {
            rows::revoked_devices(conn, window.as_secs_f64())
        })
        .await?;
    let mut known = app
        .revoked
        .0
        .write()
        .unwrap_or_else(PoisonError::into_inner);
    known.retain(|device| !before.contains(device));
    known.extend(devices.iter().map(|(_, device)| device));
    drop(known);
    // Only now: a wait that begins meanwhile finds its device noted, or is found parked, and a client that is told so does not
    // get in again.
    for (user, device) in devices {
        app.waiters.end_device(user, device);
    }
    Ok(())
}

/// Who makes a request with this access token.
pub async fn authenticate(app: &App, token: &str, address: IpAddr) -> Result<Caller, Error> {
    let claims = app.tokens.check_access(token)?;
    if app.revoked.contains(claims.device_id) {
        return Err(Error::DeviceRevoked);
    }
    let age = app.tokens.clock.now() - claims.iat;
    let key = (claims.device_id, claims.generation);
    // After REPEAT the previous refresh token is dead anyway; twice that leaves room for clocks that differ.
    let matters = claims.generation > 0 && age < 2 * REPEAT.as_secs().cast_signed();
    if matters && !app.confirmed.seen(key) {
        app.pg
            .read("confirm_refresh", move |conn| {
                rows::confirm_refresh(conn, claims.sub, claims.device_id, claims.generation)
            })
            .await?;
        app.confirmed.add(key);
    }
    Ok(Caller {
        user: claims.sub,
        device: claims.device_id,
        generation: claims.generation,
        token_expires: claims.exp,
        address,
    })
}

/// The users with these ids; unknown ones are left out.
pub async fn users_by_ids(app: &App, ids: Vec<UserId>) -> Result<Vec<User>, Error> {
    let users = app
        .pg
        .read("users_by_ids", move |conn| rows::users_by_ids(conn, &ids))
        .await?;
    Ok(users)
}

/// One user.
pub async fn user(app: &App, id: UserId) -> Result<User, Error> {
    users_by_ids(app, vec![id])
        .await?
        .pop()
        .ok_or(Error::NotFound)
}

/// The user of this name, if there is one.
pub async fn user_by_name(app: &App, username: Username) -> Result<Option<User>, Error> {
    let user = app
        .pg
        .read("user_by_name", move |conn| {
            rows::user_by_name(conn, &username)
        })
        .await?;
    Ok(user)
}

/// Changes what other people see of the caller.
pub async fn rename(app: &App, caller: Caller, display_name: String) -> Result<User, Error> {
    app.pg
        .transaction("rename_user", move |conn| {
            let renamed = rows::rename_user(conn, caller.user, &display_name)?;
            Ok(renamed.ok_or(Error::NotFound))
        })
        .await?
}

/// A user for load tests and its access token.
#[derive(Debug)]
pub struct SeededUser {
    /// The user's name.
    pub username: String,
    /// The user.
    pub user: UserId,
    /// The user's device.
    pub device: DeviceId,
    /// Good for a day.
    pub access_token: String,
}

/// Makes or finds the users `seed<from>` … `seed<to - 1>`.
pub async fn seed(app: &App, from: usize, to: usize) -> Result<Vec<SeededUser>, Error> {
    let names: Vec<_> = (from..to).map(|n| format!("seed{n}")).collect();
    let users: Vec<_> = names.iter().map(|_| UserId(clock::new_id())).collect();
    let devices: Vec<_> = names.iter().map(|_| DeviceId(clock::new_id())).collect();
    let hashes: Vec<_> = names
        .iter()
        .map(|_| clock::random_bytes::<32>().to_vec())
        .collect();
    let seeded = app
        .pg
        .transaction("seed", move |conn| {
            rows::seed(conn, &names, &users, &devices, &hashes).map(Ok::<_, Error>)
        })
        .await??;
    seeded
        .into_iter()
        .map(|row| {
            Ok(SeededUser {
                username: row.username,
                user: row.user_id,
                device: row.device_id,
                access_token: app.tokens.issue_access(
                    row.user_id,
                    row.device_id,
                    0,
                    LONGEST_ACCESS,
                )?,
            })
        })
        .collect()
}
