//! Accounts, and users by id and name.

use crate::clock;
use crate::engine::auth::Auth;
use crate::engine::error::Error;
use crate::model::account::{DeviceInfo, Password, Username};
use crate::model::ids::{DeviceId, UserId};
use crate::model::wire::user::User;
use crate::storage::pg::identity::{accounts as rows, users};

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
            if !rows::create_user(conn, id, &username, &name, &hash)? {
                return Ok(Err(Error::Conflict("the username is taken")));
            }
            if let Some((device, refresh_hash, info)) = &first {
                rows::create_device(conn, id, *device, info, refresh_hash, seconds)?;
            }
            Ok(users::users_by_ids(conn, &[id])?
                .pop()
                .ok_or(Error::NotFound))
        })
        .await?
}

/// The users with these ids; unknown ones are left out.
pub async fn users_by_ids(auth: &Auth, ids: Vec<UserId>) -> Result<Vec<User>, Error> {
    let users = auth
        .pg
        .read("users_by_ids", move |conn| users::users_by_ids(conn, &ids))
        .await?;
    Ok(users)
}

/// The user with this name, if any.
pub async fn user_by_name(auth: &Auth, username: Username) -> Result<Option<User>, Error> {
    let user = auth
        .pg
        .read("user_by_name", move |conn| {
            users::user_by_name(conn, &username)
        })
        .await?;
    Ok(user)
}
