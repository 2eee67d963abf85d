//! The search for people by the beginning of their usernames.

use crate::model::ids::UserId;
use crate::model::wire::user::User;
use crate::storage::error::StorageResult;
use crate::storage::pg::identity::accounts::UserRow;
use crate::storage::pg::sql::sql;
use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Text, Uuid as SqlUuid};

/// The most usernames that a search reads. Of those, it returns the ones that the caller may find.
const READ: i64 = 500;

/// The people whose usernames begin so, in the order of the names, without those that block the caller or that the caller blocks. The
/// prefix has only characters of usernames.
pub fn by_prefix(
    conn: &mut PgConnection,
    caller: UserId,
    prefix: &str,
    limit: i64,
) -> StorageResult<Vec<User>> {
    // A range, not LIKE: the planner can use the index for a bound value only so, and nothing in a prefix is special. Every character
    // of a username is below 0x7f.
    let rows: Vec<UserRow> = sql(r#"SELECT u.id, u.username, u.display_name, u.created_at, false AS deleted FROM (
             SELECT * FROM users
             WHERE state = 'active' AND username COLLATE "C" >= $1 AND username COLLATE "C" < $2
             ORDER BY username COLLATE "C" LIMIT $3
         ) AS u
         LEFT JOIN LATERAL (SELECT blocked_id FROM blocks WHERE blocker_id = $4 AND blocked_id = u.id LIMIT 1) AS own ON true
         LEFT JOIN LATERAL (SELECT blocked_id FROM blocks WHERE blocker_id = u.id AND blocked_id = $5 LIMIT 1) AS others ON true
         WHERE own.blocked_id IS NULL AND others.blocked_id IS NULL
         ORDER BY u.username COLLATE "C" LIMIT $6"#)
    .bind::<Text, _>(prefix)
    .bind::<Text, _>(format!("{prefix}\u{7f}"))
    .bind::<BigInt, _>(READ)
    .bind::<SqlUuid, _>(caller)
    .bind::<SqlUuid, _>(caller)
    .bind::<BigInt, _>(limit)
    .load(conn)?;
    Ok(rows.into_iter().map(User::from).collect())
}
