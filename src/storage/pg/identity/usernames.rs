//! Usernames. A name that its owner has changed stays reserved for the owner, and resolves to nothing.

use crate::model::account::Username;
use crate::model::ids::UserId;
use crate::storage::error::StorageResult;
use crate::storage::pg::sql::sql;
use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Bool, Text, Uuid as SqlUuid};

/// Takes a name that nobody has or has reserved. Returns `false` if somebody has it. A concurrent request waits here for the commit
/// of the first one.
pub fn claim(conn: &mut PgConnection, user: UserId, name: &Username) -> StorageResult<bool> {
    Ok(sql(
        "INSERT INTO usernames AS n (username, user_id) VALUES ($1, $2)
         ON CONFLICT (username) DO UPDATE SET user_id = excluded.user_id, reserved_until = NULL
         WHERE n.reserved_until <= statement_timestamp()",
    )
    .bind::<Text, _>(name.as_str())
    .bind::<SqlUuid, _>(user)
    .execute(conn)?
        == 1)
}

/// Takes a former name of the user back. Returns `false` if it is none.
pub fn take_back(conn: &mut PgConnection, user: UserId, name: &Username) -> StorageResult<bool> {
    Ok(sql("UPDATE usernames SET reserved_until = NULL
         WHERE username = $1 AND user_id = $2 AND reserved_until IS NOT NULL")
    .bind::<Text, _>(name.as_str())
    .bind::<SqlUuid, _>(user)
    .execute(conn)?
        == 1)
}

/// Whether the username of a user was changed in the last 14 days.
pub fn is_renamed(conn: &mut PgConnection, user: UserId) -> StorageResult<bool> {
    Ok(
        sql("SELECT COALESCE(renamed_at > statement_timestamp() - interval '14 days', false) AS is_renamed FROM users
         WHERE id = $1")
        .bind::<SqlUuid, _>(user)
        .scalar::<Bool>()
        .get_result(conn)?,
    )
}

/// Reserves the present name of a user for 30 days, and gives the user another one, which is the user's already. A name that is taken
/// back does not count as a change. Under the lock of the user's row.
pub fn rename(
    conn: &mut PgConnection,
    user: UserId,
    name: &Username,
    counts: bool,
) -> StorageResult<()> {
    sql(
        "UPDATE usernames SET reserved_until = statement_timestamp() + interval '30 days'
         WHERE username = (SELECT username FROM users WHERE id = $1)",
    )
    .bind::<SqlUuid, _>(user)
    .execute(conn)?;
    sql(
        "UPDATE users SET username = $1, renamed_at = CASE WHEN $2 THEN statement_timestamp() ELSE renamed_at END
         WHERE id = $3",
    )
    .bind::<Text, _>(name.as_str())
    .bind::<Bool, _>(counts)
    .bind::<SqlUuid, _>(user)
    .execute(conn)?;
    Ok(())
}

/// Keeps all names of an erased user from others for 180 days, without a reference to the user. Under the lock of the user's row.
pub fn orphan(conn: &mut PgConnection, user: UserId) -> StorageResult<()> {
    sql(
        "UPDATE usernames SET user_id = NULL, reserved_until = statement_timestamp() + interval '180 days'
         WHERE username = (SELECT username FROM users WHERE id = $1)",
    )
    .bind::<SqlUuid, _>(user)
    .execute(conn)?;
    sql(
        "UPDATE usernames SET user_id = NULL, reserved_until = statement_timestamp() + interval '180 days'
         WHERE user_id = $1 AND reserved_until IS NOT NULL",
    )
    .bind::<SqlUuid, _>(user)
    .execute(conn)?;
    Ok(())
}

/// Deletes names whose reservation has ended, at most `limit`. Returns how many. The condition is checked again for a name that was taken
/// meanwhile; it is written so that no index serves it in place of the rows' places.
pub fn delete_expired(conn: &mut PgConnection, limit: i64) -> StorageResult<usize> {
    Ok(sql(
        "DELETE FROM usernames WHERE COALESCE(reserved_until, 'infinity') <= statement_timestamp() AND ctid = ANY(ARRAY(
             SELECT ctid FROM usernames WHERE reserved_until <= statement_timestamp() ORDER BY reserved_until LIMIT $1))",
    )
    .bind::<BigInt, _>(limit)
    .execute(conn)?)
}
