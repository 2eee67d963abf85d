//! The database as a whole: its epoch, its migrations, and whether what it acknowledges is safe.

use crate::model::ids::{Epoch, UserId};
use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::sql::sql;
use crate::storage::pg::types::Uuids;
use diesel::connection::Connection;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Nullable, Text, Uuid as SqlUuid};
use diesel::{QueryableByName, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

/// Brings the schema up to date, on a connection of its own. Returns the names of the migrations that ran.
pub fn migrate(url: &str) -> StorageResult<Vec<String>> {
    let mut conn = PgConnection::establish(url)
        .map_err(|error| StorageError::Unavailable(error.to_string()))?;
    // Several nodes may start at once; the second finds nothing to do.
    sql("SELECT pg_advisory_lock(hashtext('tideline migrations'))").execute(&mut conn)?;
    let ran = conn
        .run_pending_migrations(MIGRATIONS)
        .map_err(|error| StorageError::Bug(error.to_string()))?;
    Ok(ran.iter().map(ToString::to_string).collect())
}

/// Whether there is a migration that has not run.
pub fn migrations_pending(conn: &mut PgConnection) -> StorageResult<bool> {
    conn.has_pending_migration(MIGRATIONS)
        .map_err(|error| StorageError::Bug(error.to_string()))
}

/// This life of the database.
pub fn epoch(conn: &mut PgConnection) -> StorageResult<Epoch> {
    Ok(sql("SELECT epoch FROM instance")
        .scalar::<SqlUuid>()
        .get_result(conn)?)
}

/// The time by the database's clock, in seconds since 1970.
pub fn clock(conn: &mut PgConnection) -> StorageResult<i64> {
    Ok(
        sql("SELECT floor(extract(epoch FROM clock_timestamp()))::bigint AS now")
            .scalar::<BigInt>()
            .get_result(conn)?,
    )
}

/// How far a new epoch moves every inbox head: further than any inbox ever went since the backup, and short enough for
/// nine thousand epochs below [`MAX_SEQ`](crate::model::ids::MAX_SEQ).
const EPOCH_SEQ_GAP: i64 = 1_000_000_000_000;

/// Heads of one statement of a new epoch.
const CHUNK: i64 = 10_000;

/// Begins a new life of the database, in one transaction: another epoch, empty inboxes, and every head, also of those who
/// have had no entry yet, past anything that was handed out in a life that this database has forgotten. Tells how many heads
/// it has moved.
pub fn new_epoch(conn: &mut PgConnection, moved: impl Fn(usize)) -> StorageResult<Epoch> {
    sql("UPDATE instance SET epoch = gen_random_uuid(), started_at = now()").execute(conn)?;
    sql("TRUNCATE inbox").execute(conn)?;
    let (mut after, mut count) = (None, 0);
    loop {
        let users: Vec<UserId> = sql("SELECT id FROM users
             WHERE id > COALESCE($1, '00000000-0000-0000-0000-000000000000') ORDER BY id LIMIT $2")
        .bind::<Nullable<SqlUuid>, _>(after)
        .bind::<BigInt, _>(CHUNK)
        .scalar::<SqlUuid>()
        .load(conn)?;
        let Some(last) = users.last() else {
            return epoch(conn);
        };
        after = Some(*last);
        count += users.len();
        sql(
            "INSERT INTO timelines (user_id, last_seq, last_at) SELECT id, $1, now() FROM unnest($2) AS u(id)
             ON CONFLICT (user_id) DO UPDATE SET last_seq = timelines.last_seq + excluded.last_seq",
        )
        .bind::<BigInt, _>(EPOCH_SEQ_GAP)
        .bind::<Uuids, _>(users)
        .execute(conn)?;
        moved(count);
    }
}

/// This life of the database, once a transaction that begins another one has ended.
pub fn settled_epoch(conn: &mut PgConnection) -> StorageResult<Epoch> {
    Ok(sql("SELECT epoch FROM instance FOR SHARE")
        .scalar::<SqlUuid>()
        .get_result(conn)?)
}

/// What keeps PostgreSQL from being trusted with an acknowledged message, in sentences; empty when it is safe.
pub fn unsafe_settings(conn: &mut PgConnection) -> StorageResult<Vec<String>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        name: String,
        #[diesel(sql_type = Text)]
        setting: String,
    }
    let rows: Vec<Row> = sql(
        "SELECT name, setting FROM pg_settings
         WHERE (name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting IN ('off', 'local'))
            OR (name = 'lc_messages' AND setting <> '' AND setting !~ '^(C|POSIX|en)')
            OR (name = 'server_encoding' AND setting <> 'UTF8')",
    )
    .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|row| format!("{} must not be {:?}", row.name, row.setting))
        .collect())
}

/// What keeps the database from being served, in sentences; empty when nothing does.
pub fn readiness_failures(conn: &mut PgConnection) -> StorageResult<Vec<String>> {
    let mut reasons = unsafe_settings(conn)?;
    if migrations_pending(conn)? {
        reasons.push("there are migrations to run: tideline migrate".to_owned());
    }
    Ok(reasons)
}
