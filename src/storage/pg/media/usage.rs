//! What users have reserved of the media store.

use crate::model::ids::UserId;
use crate::model::time::Timestamp;
use crate::storage::error::StorageResult;
use crate::storage::pg::sql::sql;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Integer, Timestamptz, Uuid as SqlUuid};
use diesel::{Queryable, RunQueryDsl};

/// What a user has reserved.
#[derive(Clone, Copy, Debug, Default, Queryable)]
pub struct MediaUsage {
    /// Bytes of uploads and of media.
    pub bytes: i64,
    /// Unfinished uploads.
    pub uploads: i32,
}

/// Locks what a user has reserved. Returns it with the time of the change.
pub fn lock(conn: &mut PgConnection, owner: UserId) -> StorageResult<(MediaUsage, Timestamp)> {
    let (bytes, uploads, at) = sql(
        "INSERT INTO media_usage (owner_id, bytes, uploads) VALUES ($1, 0, 0)
         ON CONFLICT (owner_id) DO UPDATE SET bytes = media_usage.bytes
         RETURNING bytes, uploads, clock_timestamp()",
    )
    .bind::<SqlUuid, _>(owner)
    .columns::<(BigInt, Integer, Timestamptz)>()
    .get_result(conn)?;
    Ok((MediaUsage { bytes, uploads }, at))
}

/// What a user has reserved.
pub fn get(conn: &mut PgConnection, owner: UserId) -> StorageResult<MediaUsage> {
    let found: Vec<MediaUsage> = sql("SELECT bytes, uploads FROM media_usage WHERE owner_id = $1")
        .bind::<SqlUuid, _>(owner)
        .columns::<(BigInt, Integer)>()
        .load(conn)?;
    Ok(found.into_iter().next().unwrap_or_default())
}

/// Changes what a user has reserved. Under [`lock`].
pub fn add(conn: &mut PgConnection, owner: UserId, bytes: i64, uploads: i32) -> StorageResult<()> {
    sql("UPDATE media_usage SET bytes = bytes + $1, uploads = uploads + $2 WHERE owner_id = $3")
        .bind::<BigInt, _>(bytes)
        .bind::<Integer, _>(uploads)
        .bind::<SqlUuid, _>(owner)
        .execute(conn)?;
    Ok(())
}

/// What all users have reserved. A pass over the table, for the collector.
pub fn total(conn: &mut PgConnection) -> StorageResult<i64> {
    Ok(
        sql("SELECT COALESCE(sum(bytes), 0)::bigint FROM media_usage")
            .scalar::<BigInt>()
            .get_result(conn)?,
    )
}
