//! Objects to delete.

use crate::storage::error::StorageResult;
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::Texts;
use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Integer, Text};
use uuid::Uuid;

/// Notes objects to delete after a time. Called before they are written, and again when they are no longer needed.
pub fn add(conn: &mut PgConnection, keys: &[String], in_seconds: i32) -> StorageResult<()> {
    sql("INSERT INTO blob_deletions (store_key, due_at)
         SELECT key, clock_timestamp() + make_interval(secs => $1) FROM unnest($2) AS k(key) ORDER BY key
         ON CONFLICT (store_key) DO UPDATE SET due_at = excluded.due_at")
    .bind::<Integer, _>(in_seconds)
    .bind::<Texts, _>(keys)
    .execute(conn)?;
    Ok(())
}

/// Keeps objects. Returns how many were still to be deleted: the others may be deleted already.
pub fn keep(conn: &mut PgConnection, keys: &[String]) -> StorageResult<usize> {
    let mut kept = 0;
    for key in keys {
        kept += sql("DELETE FROM blob_deletions WHERE store_key = $1")
            .bind::<Text, _>(key)
            .execute(conn)?;
    }
    Ok(kept)
}

/// Deletes an object later than noted. False: it may be deleted already, or soon.
pub fn postpone(conn: &mut PgConnection, key: &str, in_seconds: i32) -> StorageResult<bool> {
    // A claim of the collector ends within a minute.
    let postponed = sql(
        "UPDATE blob_deletions SET due_at = clock_timestamp() + make_interval(secs => $1)
         WHERE store_key = $2 AND due_at > statement_timestamp() + interval '2 minutes' AND tries = 0 AND NOT is_again",
    )
    .bind::<Integer, _>(in_seconds)
    .bind::<Text, _>(key)
    .execute(conn)?;
    Ok(postponed == 1)
}

/// Locks objects that are due, oldest first. Another node's are left out.
pub fn due(conn: &mut PgConnection, limit: i64) -> StorageResult<Vec<String>> {
    Ok(sql(
        "SELECT store_key FROM blob_deletions WHERE due_at <= statement_timestamp()
         ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED",
    )
    .bind::<BigInt, _>(limit)
    .scalar::<Text>()
    .load(conn)?)
}

/// Notes that objects were deleted. Each is deleted once more a day later, and then forgotten: a process that was stopped meanwhile may
/// have written it again.
pub fn deleted(conn: &mut PgConnection, keys: &[String]) -> StorageResult<()> {
    for key in keys {
        let forgotten = sql("DELETE FROM blob_deletions WHERE store_key = $1 AND is_again")
            .bind::<Text, _>(key)
            .execute(conn)?;
        if forgotten == 0 {
            sql("UPDATE blob_deletions SET is_again = true, due_at = clock_timestamp() + interval '1 day' WHERE store_key = $1")
                .bind::<Text, _>(key)
                .execute(conn)?;
        }
    }
    Ok(())
}

/// Tries again later, each time after twice the time, at most a day.
pub fn retry_later(conn: &mut PgConnection, keys: &[String]) -> StorageResult<()> {
    for key in keys {
        sql("UPDATE blob_deletions SET tries = tries + 1,
                 due_at = clock_timestamp() + make_interval(secs => LEAST(86400, 30 * 2 ^ LEAST(tries, 12)))
             WHERE store_key = $1")
        .bind::<Text, _>(key)
        .execute(conn)?;
    }
    Ok(())
}

/// The id of the store that belongs to this database, if there is one.
pub fn store_id(conn: &mut PgConnection) -> StorageResult<Option<Uuid>> {
    let ids: Vec<Uuid> = sql("SELECT id FROM media_store WHERE singleton = true")
        .scalar::<diesel::sql_types::Uuid>()
        .load(conn)?;
    Ok(ids.into_iter().next())
}

/// Stores the id of the store, unless there is one. Returns the one that is there.
pub fn claim_store(conn: &mut PgConnection, id: Uuid) -> StorageResult<Option<Uuid>> {
    sql("INSERT INTO media_store (id) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind::<diesel::sql_types::Uuid, _>(id)
        .execute(conn)?;
    store_id(conn)
}
