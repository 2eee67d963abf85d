//! Creates many accounts in one call, for load tests.

use crate::clock;
use crate::domain::identity::revocations::LONGEST_ACCESS;
use crate::engine::auth::Auth;
use crate::engine::error::Error;
use crate::model::ids::{DeviceId, UserId};
use crate::storage::pg::identity::accounts as rows;

/// A user for load tests and its access token.
#[derive(Debug)]
pub struct SeededUser {
    /// The user's name.
    pub username: String,
    /// The user.
    pub user: UserId,
    /// The user's device.
    pub device: DeviceId,
    /// Valid for a day.
    pub access_token: String,
}

/// Creates or finds the users `seed<from>` … `seed<to - 1>`.
pub async fn seed(auth: &Auth, from: usize, to: usize) -> Result<Vec<SeededUser>, Error> {
    let names: Vec<_> = (from..to).map(|n| format!("seed{n}")).collect();
    let users: Vec<_> = names.iter().map(|_| UserId(clock::new_id())).collect();
    let devices: Vec<_> = names.iter().map(|_| DeviceId(clock::new_id())).collect();
    let hashes: Vec<_> = names
        .iter()
        .map(|_| clock::random_bytes::<32>().to_vec())
        .collect();
    let seeded = auth
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
                access_token: auth.tokens.issue_access(
                    row.user_id,
                    row.device_id,
                    0,
                    LONGEST_ACCESS,
                )?,
            })
        })
        .collect()
}
