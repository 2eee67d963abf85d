//! What the collector of media reads.

use crate::model::ids::{MediaId, UserId};
use crate::storage::error::StorageResult;
use crate::storage::pg::sql::sql;
use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Uuid as SqlUuid};

/// Media whose time is over, oldest first.
pub fn due(conn: &mut PgConnection, limit: i64) -> StorageResult<Vec<(UserId, MediaId)>> {
    Ok(sql("SELECT owner_id, id FROM media WHERE expires_at <= statement_timestamp() ORDER BY expires_at LIMIT $1")
        .bind::<BigInt, _>(limit)
        .columns::<(SqlUuid, SqlUuid)>()
        .load(conn)?)
}

/// Media that have lost a reference, with a row for each loss.
pub fn candidates(conn: &mut PgConnection, limit: i64) -> StorageResult<Vec<(UserId, MediaId)>> {
    Ok(sql("SELECT owner_id, media_id FROM media_candidates WHERE at <= statement_timestamp() ORDER BY at LIMIT $1")
        .bind::<BigInt, _>(limit)
        .columns::<(SqlUuid, SqlUuid)>()
        .load(conn)?)
}

/// Forgets the losses of media. Under their lock, before a look at what refers to them.
pub fn seen(conn: &mut PgConnection, owner: UserId, id: MediaId) -> StorageResult<()> {
    sql("DELETE FROM media_candidates WHERE owner_id = $1 AND media_id = $2")
        .bind::<SqlUuid, _>(owner)
        .bind::<SqlUuid, _>(id)
        .execute(conn)?;
    Ok(())
}

/// Forgets deleted media. Under its lock.
pub fn forget(conn: &mut PgConnection, owner: UserId, id: MediaId) -> StorageResult<()> {
    sql("DELETE FROM media WHERE owner_id = $1 AND id = $2")
        .bind::<SqlUuid, _>(owner)
        .bind::<SqlUuid, _>(id)
        .execute(conn)?;
    Ok(())
}
