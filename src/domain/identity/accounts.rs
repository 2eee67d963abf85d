//! Accounts and display names.

use crate::clock;
use crate::engine::auth::Auth;
use crate::engine::error::Error;
use crate::model::account::{Caller, DeviceInfo, Password, Username};
use crate::model::ids::{DeviceId, UserId};
use crate::model::wire::user::{Account, User};
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::identity::{account_ends, accounts as rows, usernames};

/// Creates an account without a device.
pub async fn create(
    auth: &Auth,
    username: Username,
    password: Password,
    display_name: Option<String>,
) -> Result<User, Error> {
    let id = UserId(clock::new_id());
    insert(auth, id, username, password, display_name, None).await
}

/// Creates an account and, in the same transaction, its first device with the hash of its refresh token.
pub(super) async fn insert(
    auth: &Auth,
    id: UserId,
    username: Username,
    password: Password,
    display_name: Option<String>,
    first: Option<(DeviceId, Vec<u8>, DeviceInfo)>,
) -> Result<User, Error> {
    let hash = auth.passwords.hash(password).await?;
    let name = display_name.unwrap_or_else(|| username.as_str().to_owned());
    let seconds = auth.config.refresh_token.as_secs_f64();
    auth.pg
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

/// The users with these ids; unknown ones are left out.
pub async fn users_by_ids(auth: &Auth, ids: Vec<UserId>) -> Result<Vec<User>, Error> {
    let users = auth
        .pg
        .read("users_by_ids", move |conn| rows::users_by_ids(conn, &ids))
        .await?;
    Ok(users)
}

/// One user.
pub async fn user(auth: &Auth, id: UserId) -> Result<User, Error> {
    users_by_ids(auth, vec![id])
        .await?
        .pop()
        .ok_or(Error::NotFound)
}

/// The user with this name, if any.
pub async fn user_by_name(auth: &Auth, username: Username) -> Result<Option<User>, Error> {
    let user = auth
        .pg
        .read("user_by_name", move |conn| {
            rows::user_by_name(conn, &username)
        })
        .await?;
    Ok(user)
}

/// The caller's account.
pub async fn account(auth: &Auth, caller: Caller) -> Result<Account, Error> {
    auth.pg
        .read("account", move |conn| rows::account(conn, caller.user))
        .await?
        .ok_or(Error::NotFound)
}

/// A change of an account; nothing stays as it is.
#[derive(Clone, Debug)]
pub struct AccountChange {
    /// The username.
    pub username: Option<Username>,
    /// The display name.
    pub display_name: Option<String>,
    /// Whether others see the person's read positions, and the person theirs.
    pub read_receipts: Option<bool>,
    /// Whether forwards of the person's messages name the person.
    pub forward_name: Option<bool>,
}

/// Changes the caller's account.
pub async fn update(auth: &Auth, caller: Caller, change: AccountChange) -> Result<Account, Error> {
    auth.pg
        .transaction("update_account", move |conn| {
            if let Some(username) = &change.username
                && let Err(refusal) = rename(conn, caller.user, username)?
            {
                return Ok(Err(refusal));
            }
            let name = change.display_name.as_deref();
            let (reads, forward_name) = (change.read_receipts, change.forward_name);
            let changed = rows::update_account(conn, caller.user, name, reads, forward_name)?;
            Ok(changed.ok_or(Error::NotFound))
        })
        .await?
}

/// Changes a username, once in 14 days. A former name may be taken back at any time.
fn rename(
    conn: &mut Connection,
    user: UserId,
    username: &Username,
) -> StorageResult<Result<(), Error>> {
    let Some(account) = account_ends::lock(conn, user)? else {
        return Ok(Err(Error::NotFound));
    };
    if account.username == username.as_str() {
        return Ok(Ok(()));
    }
    let was_own = usernames::take_back(conn, user, username)?;
    if !was_own {
        if account.is_renamed {
            let what = "a username changes at most once in 14 days";
            return Ok(Err(Error::LimitReached(what)));
        }
        if !usernames::claim(conn, user, username)? {
            return Ok(Err(Error::Conflict("the username is taken or reserved")));
        }
    }
    usernames::rename(conn, user, username, !was_own)?;
    Ok(Ok(()))
}
