//! The weekly partitions of the inbox.
//!
//! Partitions are made by CREATE TABLE and ATTACH, and removed by DETACH CONCURRENTLY and DROP: `CREATE … PARTITION OF` takes a
//! lock that blocks inserts for seconds while another transaction is open.

use crate::model::time::Timestamp;
use crate::storage::error::StorageResult;
use crate::storage::pg::sql::sql;
use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Integer, Text, Timestamptz};

/// How many weeks ahead of the current one partitions are made.
const WEEKS_AHEAD: i32 = 4;

/// Makes the partitions of the current week and those ahead, and returns the statements that ran. The weeks are computed by the
/// database's clock, which also gives entries their time. The previous week is included, in case the clock is set back.
pub fn make(conn: &mut PgConnection) -> StorageResult<Vec<String>> {
    run(conn, |conn| {
        let missing = sql(
            "WITH weeks AS (
                 SELECT date_trunc('week', now(), 'UTC') + make_interval(weeks => n) AS week
                 FROM generate_series(-1, $1) AS n
             ), named AS (
                 SELECT week, 'inbox_' || to_char(week AT TIME ZONE 'UTC', 'YYYYMMDD') AS name FROM weeks
             )
             SELECT format('CREATE TABLE IF NOT EXISTS %1$I (LIKE inbox INCLUDING DEFAULTS);
                            ALTER TABLE inbox ATTACH PARTITION %1$I FOR VALUES FROM (%2$L) TO (%3$L)',
                           name, week, week + interval '1 week') AS statement
             FROM named
             WHERE NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(name))
             ORDER BY week",
        );
        let missing = missing.bind::<Integer, _>(WEEKS_AHEAD);
        Ok(missing.scalar::<Text>().load(conn)?)
    })
}

/// The time of the first missing partition, in seconds since 1970. Entries before it have a partition.
pub fn until(conn: &mut PgConnection) -> StorageResult<i64> {
    Ok(sql("WITH weeks AS (
             SELECT date_trunc('week', now(), 'UTC') + make_interval(weeks => n) AS week
             FROM generate_series(0, $1) AS n
         )
         SELECT extract(epoch FROM COALESCE(
             min(week) FILTER (WHERE NOT EXISTS (SELECT FROM pg_inherits
                 WHERE inhrelid = to_regclass('inbox_' || to_char(week AT TIME ZONE 'UTC', 'YYYYMMDD')))),
             max(week) + interval '1 week'))::bigint AS until
         FROM weeks")
    .bind::<Integer, _>(WEEKS_AHEAD)
    .scalar::<BigInt>()
    .get_result(conn)?)
}

/// The time `days` days ago, by the database's clock.
pub fn days_ago(conn: &mut PgConnection, days: u32) -> StorageResult<Timestamp> {
    let days = i32::try_from(days).unwrap_or(i32::MAX);
    Ok(sql("SELECT now() - make_interval(days => $1) AS at")
        .bind::<Integer, _>(days)
        .scalar::<Timestamptz>()
        .get_result(conn)?)
}

/// Drops the partitions that ended before a time, and returns the statements that ran. Also finishes a detach that was
/// interrupted (by `lock_timeout`, behind a long transaction).
pub fn expire(conn: &mut PgConnection, before: Timestamp) -> StorageResult<Vec<String>> {
    run(conn, |conn| {
        let expired = sql(
            "WITH partitions AS (
                 SELECT c.relname AS name, i.inhdetachpending AS pending,
                        to_timestamp(right(c.relname, 8), 'YYYYMMDD') + interval '1 week' AS ends
                 FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
                 WHERE c.relkind = 'r' AND c.relname ~ '^inbox_[0-9]{8}$'
                   AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'inbox'::regclass)
             )
             SELECT format(CASE WHEN pending THEN 'ALTER TABLE inbox DETACH PARTITION %1$I FINALIZE;'
                                WHEN NOT pending THEN 'ALTER TABLE inbox DETACH PARTITION %1$I CONCURRENTLY;'
                                ELSE '' END || 'DROP TABLE %1$I', name) AS statement
             FROM partitions WHERE ends < $1 ORDER BY name",
        );
        let expired = expired.bind::<Timestamptz, _>(before);
        Ok(expired.scalar::<Text>().load(conn)?)
    })
}

/// Runs the statements, one node at a time. If there are none, which is the usual case, it takes no lock: a node that starts
/// must not wait for one that drops partitions.
fn run(
    conn: &mut PgConnection,
    to_do: impl Fn(&mut PgConnection) -> StorageResult<Vec<String>>,
) -> StorageResult<Vec<String>> {
    if to_do(conn)?.is_empty() {
        return Ok(Vec::new());
    }
    sql("SELECT pg_advisory_lock(hashtext('tideline partitions'))").execute(conn)?;
    // Another node may have run them meanwhile.
    let result = to_do(conn).and_then(|statements| run_each(conn, statements));
    sql("SELECT pg_advisory_unlock(hashtext('tideline partitions'))").execute(conn)?;
    result
}

/// Runs each statement separately: several in one batch form a transaction, in which DETACH CONCURRENTLY cannot run.
fn run_each(conn: &mut PgConnection, statements: Vec<String>) -> StorageResult<Vec<String>> {
    let mut ran = Vec::new();
    for statement in statements {
        for single in statement.split(';') {
            conn.batch_execute(single)?;
        }
        ran.push(statement);
    }
    Ok(ran)
}
