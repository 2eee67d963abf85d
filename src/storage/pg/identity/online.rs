//! What others see of the devices that are online, and of their users.

use crate::model::ids::{DeviceId, UserId};
use crate::model::time::Timestamp;
use crate::storage::error::StorageResult;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::Uuids;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, RunQueryDsl};

/// A device that is not logged out, and its user.
#[derive(QueryableByName)]
pub struct OnlineDevice {
    /// The user.
    #[diesel(sql_type = SqlUuid)]
    pub user_id: UserId,
    /// The device.
    #[diesel(sql_type = SqlUuid)]
    pub device_id: DeviceId,
    /// The kind of program.
    #[diesel(sql_type = Text)]
    pub platform: String,
    /// The number of the user's profile.
    #[diesel(sql_type = BigInt)]
    pub rev: i64,
    /// The number of what decides who sees the user's presence.
    #[diesel(sql_type = Integer)]
    pub audience_rev: i32,
    /// What the user wants others to see.
    #[diesel(sql_type = Text)]
    pub availability: String,
    /// When that ends.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub until: Option<Timestamp>,
    /// The time of the query, in seconds since 1970.
    #[diesel(sql_type = BigInt)]
    pub as_of: i64,
}

/// Those of these devices of active accounts that are not logged out.
pub fn devices(
    conn: &mut PgConnection,
    devices: &[(UserId, DeviceId)],
) -> StorageResult<Vec<OnlineDevice>> {
    let (users, ids): (Vec<_>, Vec<_>) = devices.iter().copied().unzip();
    Ok(sql(
        "SELECT d.user_id, d.id AS device_id, d.platform, u.rev, u.audience_rev,
             CASE WHEN u.status_until <= now() THEN 'auto' ELSE u.availability END AS availability,
             CASE WHEN u.status_until > now() THEN u.status_until END AS until, extract(epoch FROM now())::bigint AS as_of
         FROM unnest($1, $2) AS w(user_id, id)
         CROSS JOIN LATERAL (
             SELECT user_id, id, platform FROM devices WHERE user_id = w.user_id AND id = w.id AND revoked_at IS NULL LIMIT 1
         ) AS d
         CROSS JOIN LATERAL (
             SELECT rev, audience_rev, availability, status_until FROM users WHERE id = w.user_id AND state = 'active' LIMIT 1
         ) AS u",
    )
    .bind::<Uuids, _>(users)
    .bind::<Uuids, _>(ids)
    .load(conn)?)
}
