//! Who blocks whom.

use crate::model::account::User;
use crate::model::ids::UserId;
use crate::model::page::Limit;
use crate::storage::error::StorageResult;
use crate::storage::pg::accounts::users_by_ids;
use crate::storage::pg::sql::sql;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Nullable, Uuid as SqlUuid};
use diesel::{QueryableByName, RunQueryDsl};

/// Makes a block, unless it is there.
pub fn insert(conn: &mut PgConnection, blocker: UserId, blocked: UserId) -> StorageResult<()> {
    sql("INSERT INTO blocks (blocker_id, blocked_id) VALUES ($1, $2) ON CONFLICT DO NOTHING")
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

/// Whether either of the two blocks the other.
pub fn between(conn: &mut PgConnection, (one, other): (UserId, UserId)) -> StorageResult<bool> {
    Ok(sql(
        "SELECT FROM blocks WHERE blocker_id = $1 AND blocked_id = $2
         UNION ALL SELECT FROM blocks WHERE blocker_id = $3 AND blocked_id = $4",
    )
    .bind::<SqlUuid, _>(one)
    .bind::<SqlUuid, _>(other)
    .bind::<SqlUuid, _>(other)
    .bind::<SqlUuid, _>(one)
    .execute(conn)?
        > 0)
}

/// How many people somebody blocks. Under the lock of their own row, so that two new blocks at once cannot both find room.
pub fn count(conn: &mut PgConnection, blocker: UserId) -> StorageResult<i64> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let row: Row = sql("SELECT count(*) AS n FROM blocks WHERE blocker_id = $1")
        .bind::<SqlUuid, _>(blocker)
        .get_result(conn)?;
    Ok(row.n)
}

/// A page of the people that somebody blocks, after one of them, by id.
pub fn page(
    conn: &mut PgConnection,
    blocker: UserId,
    after: Option<UserId>,
    limit: Limit,
) -> StorageResult<Vec<User>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        blocked_id: UserId,
    }
    let rows: Vec<Row> = sql("SELECT blocked_id FROM blocks WHERE blocker_id = $1
             AND blocked_id > COALESCE($2, '00000000-0000-0000-0000-000000000000')
         ORDER BY blocked_id LIMIT $3")
    .bind::<SqlUuid, _>(blocker)
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<BigInt, _>(limit.get())
    .load(conn)?;
    let ids: Vec<_> = rows.into_iter().map(|row| row.blocked_id).collect();
    users_by_ids(conn, &ids)
}
