//! Registration, passwords, devices and the state of refresh tokens.

use crate::model::account::{DeviceInfo, Username};
use crate::model::ids::{DeviceId, UserId};
use crate::model::wire::user::Platform;
use crate::storage::error::StorageResult;
use crate::storage::pg::identity::usernames;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::{Binaries, Texts, Uuids};
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Binary, Bool, Double, Nullable, Text, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, RunQueryDsl};
/// Creates a user. Returns `false` if the username is taken.
pub fn create_user(
    conn: &mut PgConnection,
    id: UserId,
    username: &Username,
    display_name: &str,
    password_hash: &str,
) -> StorageResult<bool> {
    if !usernames::claim(conn, id, username)? {
        return Ok(false);
    }
    sql("INSERT INTO users (id, username, display_name, password_hash) VALUES ($1, $2, $3, $4)")
        .bind::<SqlUuid, _>(id)
        .bind::<Text, _>(username.as_str())
        .bind::<Text, _>(display_name)
        .bind::<Text, _>(password_hash)
        .execute(conn)?;
    Ok(true)
}

/// The password hash of a user.
pub fn password_hash(conn: &mut PgConnection, user: UserId) -> StorageResult<Option<String>> {
    Ok(sql("SELECT password_hash FROM users WHERE id = $1")
        .bind::<SqlUuid, _>(user)
        .scalar::<Text>()
        .get_result(conn)
        .optional()?)
}

/// Replaces a password hash. Under the lock of the user's row.
pub fn replace_password(conn: &mut PgConnection, user: UserId, hash: &str) -> StorageResult<()> {
    sql("UPDATE users SET password_hash = $1 WHERE id = $2")
        .bind::<Text, _>(hash)
        .bind::<SqlUuid, _>(user)
        .execute(conn)?;
    Ok(())
}

/// Creates a device with its first refresh token.
pub fn create_device(
    conn: &mut PgConnection,
    user: UserId,
    device: DeviceId,
    info: &DeviceInfo,
    refresh_hash: &[u8],
    refresh_seconds: f64,
) -> StorageResult<()> {
    sql(
        "INSERT INTO devices (user_id, id, name, platform, refresh_hash, refresh_expires_at)
         VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))",
    )
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(device)
    .bind::<Nullable<Text>, _>(info.name.as_deref())
    .bind::<Text, _>(info.platform.unwrap_or_default().as_str())
    .bind::<Binary, _>(refresh_hash)
    .bind::<Double, _>(refresh_seconds)
    .execute(conn)?;
    Ok(())
}

/// A device's refresh state, read under its row lock.
#[derive(QueryableByName)]
pub struct LockedDevice {
    /// It was logged out.
    #[diesel(sql_type = Bool)]
    pub revoked: bool,
    /// The hash of the current refresh token.
    #[diesel(sql_type = Binary)]
    pub refresh_hash: Vec<u8>,
    /// The current token has expired.
    #[diesel(sql_type = Bool)]
    pub expired: bool,
    /// Seconds until it expires.
    #[diesel(sql_type = BigInt)]
    pub seconds_left: i64,
    /// The number of rotations.
    #[diesel(sql_type = BigInt)]
    pub refresh_generation: i64,
    /// The hash of the previous token, within its grace period.
    #[diesel(sql_type = Nullable<Binary>, column_name = repeatable_hash)]
    pub grace_period_hash: Option<Vec<u8>>,
}

/// Locks a device. The grace period of the previous token is `repeat_seconds`, and ends early when its successor is used.
pub fn lock_device(
    conn: &mut PgConnection,
    user: UserId,
    device: DeviceId,
    repeat_seconds: f64,
) -> StorageResult<Option<LockedDevice>> {
    Ok(sql(
        "SELECT revoked_at IS NOT NULL AS revoked, refresh_hash, refresh_generation,
                refresh_expires_at <= now() AS expired,
                ceil(extract(epoch FROM refresh_expires_at - now()))::bigint AS seconds_left,
                CASE WHEN NOT refresh_confirmed AND rotated_at > now() - make_interval(secs => $1)
                     THEN previous_hash END AS repeatable_hash
         FROM devices WHERE user_id = $2 AND id = $3 FOR UPDATE",
    )
    .bind::<Double, _>(repeat_seconds)
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(device)
    .get_result(conn)
    .optional()?)
}

/// Logs in on a known device: a new chain of refresh tokens begins. Under [`lock_device`].
pub fn relogin_device(
    conn: &mut PgConnection,
    user: UserId,
    device: DeviceId,
    info: &DeviceInfo,
    refresh_hash: &[u8],
    refresh_seconds: f64,
) -> StorageResult<()> {
    sql(
        "UPDATE devices SET name = COALESCE($1, name), platform = COALESCE($2, platform), refresh_hash = $3,
                refresh_expires_at = now() + make_interval(secs => $4), last_seen_at = now(),
                refresh_generation = refresh_generation + 1, previous_hash = NULL, refresh_confirmed = true
         WHERE user_id = $5 AND id = $6",
    )
    .bind::<Nullable<Text>, _>(info.name.as_deref())
    .bind::<Nullable<Text>, _>(info.platform.map(Platform::as_str))
    .bind::<Binary, _>(refresh_hash)
    .bind::<Double, _>(refresh_seconds)
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(device)
    .execute(conn)?;
    Ok(())
}

/// Rotates the refresh token: the current one becomes the previous one. Under [`lock_device`].
pub fn rotate_refresh(
    conn: &mut PgConnection,
    user: UserId,
    device: DeviceId,
    next_hash: &[u8],
    refresh_seconds: f64,
) -> StorageResult<()> {
    sql(
        "UPDATE devices SET previous_hash = refresh_hash, refresh_hash = $1,
                refresh_expires_at = now() + make_interval(secs => $2), rotated_at = now(), last_seen_at = now(),
                refresh_generation = refresh_generation + 1, refresh_confirmed = false
         WHERE user_id = $3 AND id = $4",
    )
    .bind::<Binary, _>(next_hash)
    .bind::<Double, _>(refresh_seconds)
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(device)
    .execute(conn)?;
    Ok(())
}

/// Expires every refresh token of a device except that of this generation. Returns whether the device is still logged in.
pub fn end_other_refreshes(
    conn: &mut PgConnection,
    user: UserId,
    device: DeviceId,
    generation: i64,
) -> StorageResult<bool> {
    // Not now(): a refresh that waited for this row compares with the time at which its own transaction began.
    Ok(sql(
        "UPDATE devices SET previous_hash = NULL,
                refresh_expires_at = CASE WHEN refresh_generation = $1 THEN refresh_expires_at ELSE to_timestamp(0) END
         WHERE user_id = $2 AND id = $3 AND revoked_at IS NULL",
    )
    .bind::<BigInt, _>(generation)
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(device)
    .execute(conn)?
        == 1)
}

/// Records that an access token of this generation was used: the grace period of the previous refresh token ends.
pub fn confirm_refresh(
    conn: &mut PgConnection,
    user: UserId,
    device: DeviceId,
    generation: i64,
) -> StorageResult<()> {
    sql("UPDATE devices SET refresh_confirmed = true
         WHERE user_id = $1 AND id = $2 AND refresh_generation = $3 AND NOT refresh_confirmed")
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(device)
    .bind::<BigInt, _>(generation)
    .execute(conn)?;
    Ok(())
}

/// The devices that were logged out within the last `seconds`, with their users.
pub fn revoked_devices(
    conn: &mut PgConnection,
    seconds: f64,
) -> StorageResult<Vec<(UserId, DeviceId)>> {
    Ok(
        sql("SELECT user_id, id FROM devices WHERE revoked_at > now() - make_interval(secs => $1)")
            .bind::<Double, _>(seconds)
            .columns::<(SqlUuid, SqlUuid)>()
            .load(conn)?,
    )
}

/// A user of the seed and its one device.
#[derive(QueryableByName)]
pub struct Seeded {
    /// The user's name.
    #[diesel(sql_type = Text)]
    pub username: String,
    /// The user.
    #[diesel(sql_type = SqlUuid)]
    pub user_id: UserId,
    /// The user's first device that is logged in.
    #[diesel(sql_type = SqlUuid)]
    pub device_id: DeviceId,
}

/// Creates the users that do not exist yet, without a password, and a device for each of these users that has none logged in.
/// The given ids are for the rows that are created.
pub fn seed(
    conn: &mut PgConnection,
    usernames: &[String],
    user_ids: &[UserId],
    device_ids: &[DeviceId],
    refresh_hashes: &[Vec<u8>],
) -> StorageResult<Vec<Seeded>> {
    sql(
        "WITH made AS (
             INSERT INTO usernames (username, user_id)
             SELECT n, u FROM unnest($1, $2) AS s(n, u) ORDER BY n ON CONFLICT DO NOTHING RETURNING username, user_id
         )
         INSERT INTO users (id, username, display_name, password_hash)
         SELECT user_id, username, username, '!' FROM made",
    )
    .bind::<Texts, _>(usernames)
    .bind::<Uuids, _>(user_ids)
    .execute(conn)?;
    sql(
        "INSERT INTO devices (user_id, id, name, platform, refresh_hash, refresh_expires_at)
         SELECT n.user_id, s.d, 'seed', 'web', s.h, now()
         FROM unnest($1, $2, $3) AS s(n, d, h) JOIN usernames n ON n.username = s.n
         WHERE NOT EXISTS (SELECT FROM devices d WHERE d.user_id = n.user_id AND d.revoked_at IS NULL)",
    )
    .bind::<Texts, _>(usernames)
    .bind::<Uuids, _>(device_ids)
    .bind::<Binaries, _>(refresh_hashes)
    .execute(conn)?;
    // A user that is logged out at this moment is returned too, with a token that does not work.
    Ok(sql(
        "SELECT DISTINCT ON (n.username) n.username, n.user_id, d.id AS device_id
         FROM usernames n JOIN devices d ON d.user_id = n.user_id
         WHERE n.username = ANY($1) ORDER BY n.username, d.revoked_at IS NOT NULL, d.created_at, d.id",
    )
    .bind::<Texts, _>(usernames)
    .load(conn)?)
}
