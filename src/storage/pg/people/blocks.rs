//! Blocks between users.
//!
//! A block and an action that it forbids must not commit without seeing each other, so a user's row in `users` guards the
//! user's blocks. Adding or removing a block locks the rows of both users ([`lock`]). An action that a block may forbid takes a
//! shared lock on the row of the acting user ([`hold`]) and reads the blocks afterwards. One shared lock is enough for any
//! number of other users.

use crate::model::ids::UserId;
use crate::model::page::PageSize;
use crate::model::time::Timestamp;
use crate::model::wire::user::User;
use crate::storage::error::StorageResult;
use crate::storage::pg::identity::users::users_by_ids;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::Uuids;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Nullable, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, RunQueryDsl};
use std::collections::{BTreeSet, HashSet};

/// A block: the blocker and the blocked user.
pub type Block = (UserId, UserId);

/// Locks the blocks, contacts and requests of two users exclusively until the transaction ends. Returns the time of the change; none if
/// one of the users does not exist.
pub fn lock(
    conn: &mut PgConnection,
    (low, high): (UserId, UserId),
) -> StorageResult<Option<Timestamp>> {
    let locked: Vec<Timestamp> =
        sql("SELECT clock_timestamp() AS at FROM users WHERE id = ANY($1) ORDER BY id FOR UPDATE")
            .bind::<Uuids, _>(vec![low, high])
            .scalar::<Timestamptz>()
            .load(conn)?;
    Ok(locked.last().copied().filter(|_| locked.len() == 2))
}

/// Locks the blocks of these users against changes until the transaction ends, and their accounts against their end. Read both in a later
/// statement.
pub fn hold(conn: &mut PgConnection, users: &BTreeSet<UserId>) -> StorageResult<()> {
    // This lock mode does not block a change of the display name.
    sql("SELECT id FROM users WHERE id = ANY($1) ORDER BY id FOR KEY SHARE")
        .bind::<Uuids, _>(users.iter().copied().collect::<Vec<_>>())
        .execute(conn)?;
    Ok(())
}

/// Adds a block. Returns whether it is new.
pub fn insert(conn: &mut PgConnection, blocker: UserId, blocked: UserId) -> StorageResult<bool> {
    Ok(sql(
        "INSERT INTO blocks (blocker_id, blocked_id, created_at) VALUES ($1, $2, clock_timestamp())
         ON CONFLICT DO NOTHING",
    )
    .bind::<SqlUuid, _>(blocker)
    .bind::<SqlUuid, _>(blocked)
    .execute(conn)?
        == 1)
}

/// Removes a block. Returns whether it existed.
pub fn delete(conn: &mut PgConnection, blocker: UserId, blocked: UserId) -> StorageResult<bool> {
    Ok(
        sql("DELETE FROM blocks WHERE blocker_id = $1 AND blocked_id = $2")
            .bind::<SqlUuid, _>(blocker)
            .bind::<SqlUuid, _>(blocked)
            .execute(conn)?
            == 1,
    )
}

/// Those of these blocks that exist.
pub fn among(
    conn: &mut PgConnection,
    blocks: impl IntoIterator<Item = Block>,
) -> StorageResult<HashSet<Block>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        blocker_id: UserId,
        #[diesel(sql_type = SqlUuid)]
        blocked_id: UserId,
    }
    let (blockers, blocked): (Vec<_>, Vec<_>) = blocks.into_iter().unzip();
    let rows: Vec<Row> = sql("SELECT w.blocker_id, w.blocked_id FROM unnest($1, $2) AS w(blocker_id, blocked_id)
         CROSS JOIN LATERAL (
             SELECT FROM blocks WHERE blocker_id = w.blocker_id AND blocked_id = w.blocked_id LIMIT 1
         ) AS b")
    .bind::<Uuids, _>(blockers)
    .bind::<Uuids, _>(blocked)
    .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|row| (row.blocker_id, row.blocked_id))
        .collect())
}

/// Those of `others` that block the user or are blocked by the user.
pub fn around(
    conn: &mut PgConnection,
    user: UserId,
    others: &[UserId],
) -> StorageResult<HashSet<UserId>> {
    let both_ways = others
        .iter()
        .flat_map(|other| [(user, *other), (*other, user)]);
    let found = among(conn, both_ways)?;
    let other = |(blocker, blocked)| if blocker == user { blocked } else { blocker };
    Ok(found.into_iter().map(other).collect())
}

/// How many users the blocker blocks. Under [`lock`], so that concurrent blocks cannot exceed the limit.
pub fn count(conn: &mut PgConnection, blocker: UserId) -> StorageResult<i64> {
    Ok(
        sql("SELECT count(*) AS n FROM blocks WHERE blocker_id = $1")
            .bind::<SqlUuid, _>(blocker)
            .scalar::<BigInt>()
            .get_result(conn)?,
    )
}

/// A page of the users that the blocker blocks, by id, after one of them.
pub fn page(
    conn: &mut PgConnection,
    blocker: UserId,
    after: Option<UserId>,
    limit: PageSize,
) -> StorageResult<Vec<User>> {
    let ids: Vec<UserId> = sql(
        "SELECT blocked_id AS user_id FROM blocks WHERE blocker_id = $1
             AND blocked_id > COALESCE($2, '00000000-0000-0000-0000-000000000000')
         ORDER BY blocked_id LIMIT $3",
    )
    .bind::<SqlUuid, _>(blocker)
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<BigInt, _>(limit.get())
    .scalar::<SqlUuid>()
    .load(conn)?;
    users_by_ids(conn, &ids)
}
