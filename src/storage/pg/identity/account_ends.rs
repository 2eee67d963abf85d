//! The end of an account: deactivated, to be erased, erased. Statements of `users` and `devices`.

use crate::model::account::{AccountState, DeactivatedBy};
use crate::model::ids::{DeviceId, UserId};
use crate::model::time::Timestamp;
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::sql::sql;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, RunQueryDsl};

/// An account under the lock of its row.
#[derive(Clone, Debug)]
pub struct LockedAccount {
    /// The password hash; "!" if the account has no password.
    pub password_hash: String,
    /// Whether it is in use.
    pub state: AccountState,
}

/// Locks a user's row.
pub fn lock(conn: &mut PgConnection, user: UserId) -> StorageResult<Option<LockedAccount>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        password_hash: String,
        #[diesel(sql_type = Text)]
        state: String,
        #[diesel(sql_type = Nullable<Text>)]
        deactivated_by: Option<String>,
    }
    let row: Option<Row> =
        sql("SELECT password_hash, state, deactivated_by FROM users WHERE id = $1 FOR UPDATE")
            .bind::<SqlUuid, _>(user)
            .get_result(conn)
            .optional()?;
    row.map(|row| {
        let state = match (row.state.as_str(), row.deactivated_by.as_deref()) {
            ("active", None) => AccountState::Active,
            ("deactivated", Some("self")) => AccountState::Deactivated(DeactivatedBy::Person),
            ("deactivated", Some("operator")) => AccountState::Deactivated(DeactivatedBy::Operator),
            ("deleted", _) => AccountState::Deleted,
            other => return Err(StorageError::Bug(format!("unknown state {other:?}"))),
        };
        Ok(LockedAccount {
            password_hash: row.password_hash,
            state,
        })
    })
    .transpose()
}

/// Whether a device is logged in, and for less than ten minutes.
pub fn is_new_device(
    conn: &mut PgConnection,
    user: UserId,
    device: DeviceId,
) -> StorageResult<bool> {
    let new: Option<bool> = sql(
        "SELECT created_at > statement_timestamp() - interval '10 minutes' AS is_new FROM devices
         WHERE user_id = $1 AND id = $2 AND revoked_at IS NULL",
    )
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(device)
    .scalar::<Bool>()
    .get_result(conn)
    .optional()?;
    Ok(new == Some(true))
}

/// Deactivates an account at the request of its owner, until the next login, or until its erasure after this number of days. Returns the time of
/// the erasure. Under [`lock`].
pub fn deactivate(
    conn: &mut PgConnection,
    user: UserId,
    erase_days: Option<i32>,
) -> StorageResult<Option<Timestamp>> {
    Ok(sql(
        "UPDATE users SET state = 'deactivated', deactivated_by = COALESCE(deactivated_by, 'self'), audience_rev = audience_rev + 1,
             erase_at = COALESCE(statement_timestamp() + make_interval(days => $1), erase_at)
         WHERE id = $2 RETURNING erase_at",
    )
    .bind::<Nullable<Integer>, _>(erase_days)
    .bind::<SqlUuid, _>(user)
    .scalar::<Nullable<Timestamptz>>()
    .get_result(conn)?)
}

/// Makes an account usable again, and calls its erasure off. Under [`lock`].
pub fn reactivate(conn: &mut PgConnection, user: UserId) -> StorageResult<()> {
    sql(
        "UPDATE users SET state = 'active', deactivated_by = NULL, erase_at = NULL, audience_rev = audience_rev + 1 WHERE id = $1",
    )
    .bind::<SqlUuid, _>(user)
    .execute(conn)?;
    Ok(())
}

/// The users whose erasure is due, at most `limit`.
pub fn due(conn: &mut PgConnection, limit: i64) -> StorageResult<Vec<UserId>> {
    Ok(sql(
        "SELECT id FROM users WHERE erase_at <= statement_timestamp() ORDER BY erase_at LIMIT $1",
    )
    .bind::<BigInt, _>(limit)
    .scalar::<SqlUuid>()
    .load(conn)?)
}

/// Whether the erasure of a user is due. Under [`lock`], in a later statement.
pub fn is_due(conn: &mut PgConnection, user: UserId) -> StorageResult<bool> {
    Ok(
        sql("SELECT COALESCE(erase_at <= statement_timestamp(), false) AS is_due FROM users WHERE id = $1")
            .bind::<SqlUuid, _>(user)
            .scalar::<Bool>()
            .get_result(conn)?,
    )
}

/// Turns the row of a user into a tombstone: nothing of the person is left but the id. Under [`lock`].
///
/// Every column that is added to `users` has its place here, but for an uploaded picture, which is removed before.
pub fn bury(conn: &mut PgConnection, user: UserId) -> StorageResult<()> {
    sql("UPDATE users SET state = 'deleted', username = 'deleted-' || right(id::text, 12),
             display_name = 'Deleted account', password_hash = '!', read_receipts = false, forward_name = false,
             deactivated_by = NULL, renamed_at = NULL, avatar_url = NULL, bio = NULL, attributes = NULL, rev = rev + 1,
             availability = 'auto', status_emoji = NULL, status_text = NULL, status_until = NULL, privacy = NULL
         WHERE id = $1")
    .bind::<SqlUuid, _>(user)
    .execute(conn)?;
    Ok(())
}

/// Erases what devices are called, and deletes those whose access tokens have expired: nodes load the others at their start.
pub fn delete_devices(conn: &mut PgConnection, user: UserId) -> StorageResult<()> {
    sql(
        "WITH own AS MATERIALIZED (SELECT ctid, revoked_at FROM devices WHERE user_id = $1)
         DELETE FROM devices WHERE user_id = $2 AND ctid = ANY(ARRAY(
             SELECT ctid FROM own WHERE revoked_at < statement_timestamp() - interval '25 hours'))",
    )
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(user)
    .execute(conn)?;
    sql("UPDATE devices SET name = NULL, platform = 'other', revoked_at = COALESCE(revoked_at, now()) WHERE user_id = $1")
        .bind::<SqlUuid, _>(user)
        .execute(conn)?;
    Ok(())
}

/// Ends an erasure, or has it run again in an hour if devices are left.
pub fn finish(conn: &mut PgConnection, user: UserId) -> StorageResult<()> {
    sql(
        "UPDATE users SET erase_at = (
             SELECT statement_timestamp() + interval '1 hour' FROM devices WHERE user_id = $1 LIMIT 1
         ) WHERE id = $2 AND state = 'deleted'",
    )
    .bind::<SqlUuid, _>(user)
    .bind::<SqlUuid, _>(user)
    .execute(conn)?;
    Ok(())
}
