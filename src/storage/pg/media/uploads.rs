//! Uploads: their creation, their parts, and the lease of the processing.

use crate::model::ids::{ClientMediaId, MediaId, UserId};
use crate::model::time::Timestamp;
use crate::model::wire::media::Media;
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::sql::sql;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use diesel::pg::PgConnection;
use diesel::sql_types::{
    BigInt, Binary, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel::{OptionalExtension, Queryable, RunQueryDsl};
use uuid::Uuid;

/// Stores a new upload. Under the lock of the owner's usage.
pub fn create(
    conn: &mut PgConnection,
    owner: UserId,
    client_id: ClientMediaId,
    media: &Media,
    declared: &str,
    expires_at: Timestamp,
) -> StorageResult<()> {
    let digest = media
        .sha256
        .as_ref()
        .map(|text| BASE64_STANDARD.decode(text));
    let digest = digest
        .transpose()
        .map_err(|error| StorageError::Bug(error.to_string()))?;
    sql("INSERT INTO media (owner_id, id, client_media_id, kind, name, declared, mime, size, sha256, width, height, duration_ms, state,
             reserved, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)")
    .bind::<SqlUuid, _>(owner)
    .bind::<SqlUuid, _>(media.id)
    .bind::<SqlUuid, _>(client_id)
    .bind::<Text, _>(media.kind.as_str())
    .bind::<Text, _>(&media.name)
    .bind::<Text, _>(declared)
    .bind::<Text, _>(&media.mime)
    .bind::<BigInt, _>(media.size)
    .bind::<Nullable<Binary>, _>(digest)
    .bind::<Nullable<Integer>, _>(media.width)
    .bind::<Nullable<Integer>, _>(media.height)
    .bind::<Nullable<BigInt>, _>(media.duration_ms)
    .bind::<Text, _>(media.state.as_str())
    .bind::<BigInt, _>(media.size)
    .bind::<Timestamptz, _>(media.created_at)
    .bind::<Timestamptz, _>(expires_at)
    .execute(conn)?;
    Ok(())
}

/// A part that has come.
#[derive(Clone, Debug, Queryable)]
pub struct StoredPart {
    /// Its number, from 1.
    pub part: i32,
    /// Its size in bytes.
    pub size: i32,
    /// The key of its object.
    pub key: String,
    /// The client may send it to the store itself: it may not be there yet.
    pub is_direct: bool,
}

/// The parts of an upload that have come, in order.
pub fn parts(
    conn: &mut PgConnection,
    owner: UserId,
    id: MediaId,
) -> StorageResult<Vec<StoredPart>> {
    Ok(sql("SELECT part, size, store_key, is_direct FROM media_parts WHERE owner_id = $1 AND media_id = $2 ORDER BY part")
        .bind::<SqlUuid, _>(owner)
        .bind::<SqlUuid, _>(id)
        .columns::<(Integer, Integer, Text, Bool)>()
        .load(conn)?)
}

/// Stores a part, or replaces it. Under the lock of the upload.
pub fn put_part(
    conn: &mut PgConnection,
    owner: UserId,
    id: MediaId,
    part: &StoredPart,
) -> StorageResult<()> {
    sql("INSERT INTO media_parts (owner_id, media_id, part, size, store_key, is_direct) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (owner_id, media_id, part) DO UPDATE SET
             size = excluded.size, store_key = excluded.store_key, is_direct = excluded.is_direct")
    .bind::<SqlUuid, _>(owner)
    .bind::<SqlUuid, _>(id)
    .bind::<Integer, _>(part.part)
    .bind::<Integer, _>(part.size)
    .bind::<Text, _>(&part.key)
    .bind::<Bool, _>(part.is_direct)
    .execute(conn)?;
    Ok(())
}

/// Forgets the parts of an upload. Their objects are among those to delete already.
pub fn delete_parts(conn: &mut PgConnection, owner: UserId, id: MediaId) -> StorageResult<()> {
    sql("DELETE FROM media_parts WHERE owner_id = $1 AND media_id = $2")
        .bind::<SqlUuid, _>(owner)
        .bind::<SqlUuid, _>(id)
        .execute(conn)?;
    Ok(())
}

/// Begins a run of the processing. Under the lock of the upload.
pub fn begin(
    conn: &mut PgConnection,
    owner: UserId,
    id: MediaId,
    object: Uuid,
    lease_seconds: i32,
) -> StorageResult<()> {
    sql("UPDATE media SET state = 'processing', object_id = $1,
             lease_until = clock_timestamp() + make_interval(secs => $2)
         WHERE owner_id = $3 AND id = $4")
    .bind::<SqlUuid, _>(object)
    .bind::<Integer, _>(lease_seconds)
    .bind::<SqlUuid, _>(owner)
    .bind::<SqlUuid, _>(id)
    .execute(conn)?;
    Ok(())
}

/// Renews the lease of a run. False: another run has taken over, or the upload was deleted.
pub fn renew(
    conn: &mut PgConnection,
    owner: UserId,
    id: MediaId,
    object: Uuid,
    lease_seconds: i32,
) -> StorageResult<bool> {
    let renewed = sql(
        "UPDATE media SET lease_until = clock_timestamp() + make_interval(secs => $1)
         WHERE owner_id = $2 AND id = $3 AND object_id = $4 AND state = 'processing'",
    )
    .bind::<Integer, _>(lease_seconds)
    .bind::<SqlUuid, _>(owner)
    .bind::<SqlUuid, _>(id)
    .bind::<SqlUuid, _>(object)
    .execute(conn)?;
    Ok(renewed == 1)
}

/// Uploads whose run of the processing has stopped, oldest first.
pub fn abandoned(conn: &mut PgConnection, limit: i64) -> StorageResult<Vec<(UserId, MediaId)>> {
    Ok(sql("SELECT owner_id, id FROM media WHERE lease_until <= statement_timestamp() ORDER BY lease_until LIMIT $1")
        .bind::<BigInt, _>(limit)
        .columns::<(SqlUuid, SqlUuid)>()
        .load(conn)?)
}

/// Whether the run of the processing of an upload has stopped. Under the lock of the upload.
pub fn is_abandoned(conn: &mut PgConnection, owner: UserId, id: MediaId) -> StorageResult<bool> {
    let found: Vec<MediaId> = sql(
        "SELECT id FROM media WHERE owner_id = $1 AND id = $2 AND lease_until <= clock_timestamp()",
    )
    .bind::<SqlUuid, _>(owner)
    .bind::<SqlUuid, _>(id)
    .scalar::<SqlUuid>()
    .load(conn)?;
    Ok(!found.is_empty())
}

/// Ends the lease of a run that has no result, in five seconds.
pub fn end_lease(
    conn: &mut PgConnection,
    owner: UserId,
    id: MediaId,
    object: Uuid,
) -> StorageResult<()> {
    renew(conn, owner, id, object, 5).map(drop)
}

/// Counts a run that the decoder has ended without a verdict. Returns their number.
pub fn failed(conn: &mut PgConnection, owner: UserId, id: MediaId) -> StorageResult<i32> {
    let tries =
        sql("UPDATE media SET tries = tries + 1 WHERE owner_id = $1 AND id = $2 RETURNING tries")
            .bind::<SqlUuid, _>(owner)
            .bind::<SqlUuid, _>(id)
            .scalar::<Integer>()
            .get_result(conn)
            .optional()?;
    Ok(tries.unwrap_or(0))
}
