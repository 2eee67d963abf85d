//! The database as a whole: epoch, migrations, and the settings that durability depends on.

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
    // Several nodes may start simultaneously; the others wait here and find no pending migration.
    sql("SELECT pg_advisory_lock(hashtext('tideline migrations'))").execute(&mut conn)?;
    let ran = conn
        .run_pending_migrations(MIGRATIONS)
        .map_err(|error| StorageError::Bug(error.to_string()))?;
    Ok(ran.iter().map(ToString::to_string).collect())
}

/// Whether a migration is pending.
pub fn migrations_pending(conn: &mut PgConnection) -> StorageResult<bool> {
    conn.has_pending_migration(MIGRATIONS)
        .map_err(|error| StorageError::Bug(error.to_string()))
}

/// The current epoch.
pub fn epoch(conn: &mut PgConnection) -> StorageResult<Epoch> {
    Ok(sql("SELECT epoch FROM instance")
        .scalar::<SqlUuid>()
        .get_result(conn)?)
}

/// The database's time, in seconds since 1970.
pub fn clock(conn: &mut PgConnection) -> StorageResult<i64> {
    Ok(
        sql("SELECT floor(extract(epoch FROM clock_timestamp()))::bigint AS now")
            .scalar::<BigInt>()
            .get_result(conn)?,
    )
}

/// How far a new epoch moves every inbox head: further than any inbox can have grown since the backup, and small enough for
/// 9,000 epochs below [`MAX_SEQ`](crate::model::ids::MAX_SEQ).
const EPOCH_SEQ_GAP: i64 = 1_000_000_000_000;

/// How many heads one statement moves.
const CHUNK: i64 = 10_000;

/// Begins a new epoch, in one transaction: a new id, empty inboxes, and every inbox head, also of users without an entry,
/// beyond all seqs that were assigned after the backup. Calls `moved` with the number of heads moved so far.
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

/// The epoch, after waiting for a transaction that begins a new one.
pub fn settled_epoch(conn: &mut PgConnection) -> StorageResult<Epoch> {
    Ok(sql("SELECT epoch FROM instance FOR SHARE")
        .scalar::<SqlUuid>()
        .get_result(conn)?)
}

/// The settings that are unsafe for acknowledged messages, error messages or texts, a sentence each; empty if none.
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

/// The reasons why the database cannot be used, a sentence each; empty if it can.
pub fn readiness_failures(conn: &mut PgConnection) -> StorageResult<Vec<String>> {
    let mut reasons = unsafe_settings(conn)?;
    if migrations_pending(conn)? {
        reasons.push("there are migrations to run: tideline migrate".to_owned());
    }
    Ok(reasons)
}
