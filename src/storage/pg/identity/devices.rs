//! The devices of a user, as the user sees them. (Refresh tokens are in `accounts`.)

use crate::model::ids::{DeviceId, InboxSeq, UserId};
use crate::model::time::Timestamp;
use crate::model::wire::user::Device;
use crate::storage::error::StorageResult;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::{BigInts, Uuids};
use diesel::pg::PgConnection;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, RunQueryDsl};
use std::collections::HashMap;

/// The devices of a user that are not logged out, the most recently seen first.
pub fn list(
    conn: &mut PgConnection,
    user: UserId,
    current: DeviceId,
) -> StorageResult<Vec<Device>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        id: DeviceId,
        #[diesel(sql_type = Nullable<Text>)]
        name: Option<String>,
        #[diesel(sql_type = Text)]
        platform: String,
        #[diesel(sql_type = Timestamptz)]
        created_at: Timestamp,
        #[diesel(sql_type = Timestamptz)]
        last_seen_at: Timestamp,
    }
    let rows: Vec<Row> = sql(
        "SELECT id, name, platform, created_at, last_seen_at FROM devices
         WHERE user_id = $1 AND revoked_at IS NULL ORDER BY last_seen_at DESC, id",
    )
    .bind::<SqlUuid, _>(user)
    .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|row| Device {
            id: row.id,
            name: row.name,
            platform: row.platform,
            created_at: row.created_at,
            last_seen_at: row.last_seen_at,
            current: row.id == current,
        })
        .collect())
}

/// A device has every entry of its user's inbox up to a seq.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DevicePosition {
    /// The user.
    pub user: UserId,
    /// The device.
    pub device: DeviceId,
    /// The seq.
    pub seq: InboxSeq,
}

/// Stores the positions of devices, unless they have been further. `until` has for each the time before which every message is on
/// it, if that is known. The positions are in the order of their keys, in which other transactions lock the rows too.
pub fn store_positions(
    conn: &mut PgConnection,
    positions: &[DevicePosition],
    until: &[Option<Timestamp>],
) -> StorageResult<()> {
    let users: Vec<_> = positions.iter().map(|one| one.user).collect();
    // `= ANY` keeps the planner from reading all devices first, which is cheap while they are few (decision 0002).
    sql(
        "UPDATE devices d SET inbox_seq = p.seq, delivered_at = COALESCE(p.until, d.delivered_at)
         FROM unnest($1, $2, $3, $4) AS p(user_id, id, seq, until)
         WHERE d.user_id = p.user_id AND d.id = p.id AND d.inbox_seq < p.seq AND d.user_id = ANY($5)",
    )
    .bind::<Uuids, _>(&users)
    .bind::<Uuids, _>(positions.iter().map(|one| one.device).collect::<Vec<_>>())
    .bind::<BigInts, _>(positions.iter().map(|one| one.seq).collect::<Vec<_>>())
    .bind::<Array<Nullable<Timestamptz>>, _>(until)
    .bind::<Uuids, _>(&users)
    .execute(conn)?;
    Ok(())
}

/// For each user, the time before which every message is on a device of the user. Users without such a time are left out.
pub fn delivered(
    conn: &mut PgConnection,
    users: &[UserId],
) -> StorageResult<HashMap<UserId, Timestamp>> {
    let rows: Vec<(UserId, Timestamp)> = sql("SELECT user_id, max(delivered_at) FROM devices
         WHERE user_id = ANY($1) AND delivered_at IS NOT NULL GROUP BY user_id")
    .bind::<Uuids, _>(users)
    .columns::<(SqlUuid, Timestamptz)>()
    .load(conn)?;
    Ok(rows.into_iter().collect())
}

/// Whether a device of this user is logged in.
pub fn exists(conn: &mut PgConnection, user: UserId, device: DeviceId) -> StorageResult<bool> {
    let found: Vec<DeviceId> =
        sql("SELECT id FROM devices WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL")
            .bind::<SqlUuid, _>(device)
            .bind::<SqlUuid, _>(user)
            .scalar::<SqlUuid>()
            .load(conn)?;
    Ok(!found.is_empty())
}

/// Logs out one device of a user. Returns whether it was logged in.
pub fn remove(conn: &mut PgConnection, user: UserId, device: DeviceId) -> StorageResult<bool> {
    Ok(sql(
        "UPDATE devices SET revoked_at = now() WHERE user_id = $1 AND id = $2 AND revoked_at IS NULL",
    )
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(device)
    .execute(conn)?
        == 1)
}

/// Logs out all devices of a user but this one, and returns them.
pub fn remove_others(
    conn: &mut PgConnection,
    user: UserId,
    keep: Option<DeviceId>,
) -> StorageResult<Vec<DeviceId>> {
    Ok(sql(
        "UPDATE devices SET revoked_at = now() WHERE user_id = $1 AND id IS DISTINCT FROM $2 AND revoked_at IS NULL
         RETURNING id",
    )
    .bind::<SqlUuid, _>(user)
    .bind::<Nullable<SqlUuid>, _>(keep)
    .scalar::<SqlUuid>()
    .load(conn)?)
}

/// Logs out all but the `keep` most recently seen devices of a user, and returns them. Under the lock of the user's row, so
/// that concurrent logins cannot exceed the limit.
pub fn make_room(conn: &mut PgConnection, user: UserId, keep: i64) -> StorageResult<Vec<DeviceId>> {
    Ok(sql(
        "UPDATE devices SET revoked_at = now() WHERE user_id = $1 AND id IN (
             SELECT id FROM devices WHERE user_id = $2 AND revoked_at IS NULL
             ORDER BY last_seen_at DESC, id DESC OFFSET $3)
         RETURNING id",
    )
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(user)
    .bind::<BigInt, _>(keep)
    .scalar::<SqlUuid>()
    .load(conn)?)
}
