//! Who blocks whom.
//!
//! What a block stops and the block itself must not miss each other. So the row of a person in `users` guards what blocks say of
//! them: a new or ended block locks the rows of both ([`lock`]), and what a block may stop shares that of the one who acts with
//! others of the kind ([`hold`]), and looks afterwards. One row is enough for any number of people whom they act on.

use crate::model::account::User;
use crate::model::ids::UserId;
use crate::model::page::Limit;
use crate::storage::error::StorageResult;
use crate::storage::pg::identity::accounts::users_by_ids;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::Uuids;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Nullable, Uuid as SqlUuid};
use diesel::{QueryableByName, RunQueryDsl};
use std::collections::{BTreeSet, HashSet};

/// A block: who blocks, and whom.
pub type Block = (UserId, UserId);

/// Locks what blocks say of two people, to the end of the transaction, to change it, and returns whether there are both.
pub fn lock(conn: &mut PgConnection, (low, high): (UserId, UserId)) -> StorageResult<bool> {
    let locked = sql("SELECT id FROM users WHERE id = ANY($1) ORDER BY id FOR UPDATE")
        .bind::<Uuids, _>(vec![low, high])
        .execute(conn)?;
    Ok(locked == 2)
}

/// Keeps what blocks say of these people as it is to the end of the transaction. Look at it in a later statement.
pub fn hold(conn: &mut PgConnection, users: &BTreeSet<UserId>) -> StorageResult<()> {
    // This mode lets a change of a name pass.
    sql("SELECT id FROM users WHERE id = ANY($1) ORDER BY id FOR KEY SHARE")
        .bind::<Uuids, _>(users.iter().copied().collect::<Vec<_>>())
        .execute(conn)?;
    Ok(())
}

/// Makes a block, unless it is there.
pub fn insert(conn: &mut PgConnection, blocker: UserId, blocked: UserId) -> StorageResult<()> {
    sql(
        "INSERT INTO blocks (blocker_id, blocked_id, created_at) VALUES ($1, $2, clock_timestamp())
         ON CONFLICT DO NOTHING",
    )
    .bind::<SqlUuid, _>(blocker)
    .bind::<SqlUuid, _>(blocked)
    .execute(conn)?;
    Ok(())
}

/// Ends a block, if it is there.
pub fn delete(conn: &mut PgConnection, blocker: UserId, blocked: UserId) -> StorageResult<()> {
    sql("DELETE FROM blocks WHERE blocker_id = $1 AND blocked_id = $2")
        .bind::<SqlUuid, _>(blocker)
        .bind::<SqlUuid, _>(blocked)
        .execute(conn)?;
    Ok(())
}

/// Those of these blocks that there are.
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

/// Those of these users who block somebody, or whom they block.
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

/// How many people somebody blocks. Under [`lock`], so that two new blocks at once cannot both find room.
pub fn count(conn: &mut PgConnection, blocker: UserId) -> StorageResult<i64> {
    Ok(
        sql("SELECT count(*) AS n FROM blocks WHERE blocker_id = $1")
            .bind::<SqlUuid, _>(blocker)
            .scalar::<BigInt>()
            .get_result(conn)?,
    )
}

/// A page of the people that somebody blocks, after one of them, by id.
pub fn page(
    conn: &mut PgConnection,
    blocker: UserId,
    after: Option<UserId>,
    limit: Limit,
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
