//! The search for people by the beginning of their usernames.

use crate::model::ids::UserId;
use crate::model::wire::user::User;
use crate::storage::error::StorageResult;
use crate::storage::pg::identity::users::UserRow;
use crate::storage::pg::sql::sql;
use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Bool, Text, Uuid as SqlUuid};

/// The most usernames that a search reads. Of those, it returns the ones that the caller may find.
const READ: i64 = 500;

/// The people whose usernames begin so, in the order of the names, without those that the caller blocks, or that do not want to be
/// found. Those that block the caller are found, as by their exact names. `is_discoverable` is for those who have not chosen. The prefix has only characters of usernames.
pub fn by_prefix(
    conn: &mut PgConnection,
    caller: UserId,
    prefix: &str,
    is_discoverable: bool,
    limit: i64,
) -> StorageResult<Vec<User>> {
    // A range, not LIKE: the planner can use the index for a bound value only so, and nothing in a prefix is special. Every character
    // of a username is below 0x7f.
    let rows: Vec<UserRow> = sql(include_str!("search.sql"))
        .bind::<Text, _>(prefix)
        .bind::<Text, _>(format!("{prefix}\u{7f}"))
        .bind::<BigInt, _>(READ)
        .bind::<SqlUuid, _>(caller)
        .bind::<Bool, _>(is_discoverable)
        .bind::<BigInt, _>(limit)
        .load(conn)?;
    Ok(rows.into_iter().map(User::from).collect())
}
