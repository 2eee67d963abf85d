//! The weekly partitions of the inbox.
//!
//! CREATE TABLE and ATTACH, DETACH CONCURRENTLY and DROP: `CREATE … PARTITION OF` takes a lock that stopped inserts for
//! seconds behind one open transaction.

use crate::storage::error::StorageResult;
use crate::storage::pg::sql::sql;
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::sql_types::{Bool, Integer, Text};
use diesel::{QueryableByName, RunQueryDsl};

/// How many weeks are made ahead of the present one.
const WEEKS_AHEAD: i32 = 4;

#[derive(QueryableByName)]
struct Statement {
    #[diesel(sql_type = Text)]
    statement: String,
}

/// Makes the partitions of the weeks around now and ahead, and drops those that ended `retention_days` ago. Does
/// nothing while another node is at it. Returns the statements it ran.
pub fn upkeep(conn: &mut PgConnection, retention_days: u32) -> StorageResult<Vec<String>> {
    #[derive(QueryableByName)]
    struct Locked {
        #[diesel(sql_type = Bool)]
        locked: bool,
    }
    let lock: Locked =
        sql("SELECT pg_try_advisory_lock(hashtext('tideline partitions')) AS locked")
            .get_result(conn)?;
    if !lock.locked {
        return Ok(Vec::new());
    }
    let result = make(conn).and_then(|mut made| {
        made.extend(expire(conn, retention_days)?);
        Ok(made)
    });
    sql("SELECT pg_advisory_unlock(hashtext('tideline partitions'))").execute(conn)?;
    result
}

/// The database computes the weeks, by its own clock: the one that gives entries their time. The week before is made
/// too, for a clock that is set back.
fn make(conn: &mut PgConnection) -> StorageResult<Vec<String>> {
    let statements: Vec<Statement> = sql(
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
    )
    .bind::<Integer, _>(WEEKS_AHEAD)
    .load(conn)?;
    run(conn, statements)
}

fn expire(conn: &mut PgConnection, retention_days: u32) -> StorageResult<Vec<String>> {
    let statements: Vec<Statement> = sql(
        "WITH partitions AS (
             SELECT c.relname AS name, i.inhrelid IS NOT NULL AS attached,
                    to_timestamp(right(c.relname, 8), 'YYYYMMDD') + interval '1 week' AS ends
             FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
             WHERE c.relkind = 'r' AND c.relname ~ '^inbox_[0-9]{8}$'
               AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'inbox'::regclass)
         )
         SELECT format(CASE WHEN attached THEN 'ALTER TABLE inbox DETACH PARTITION %1$I CONCURRENTLY; ' ELSE '' END
                       || 'DROP TABLE %1$I', name) AS statement
         FROM partitions WHERE ends < now() - make_interval(days => $1) ORDER BY name",
    )
    .bind::<Integer, _>(i32::try_from(retention_days).unwrap_or(i32::MAX))
    .load(conn)?;
    run(conn, statements)
}

/// Each statement on its own: DETACH CONCURRENTLY refuses to run in a transaction, which several in one batch are.
fn run(conn: &mut PgConnection, statements: Vec<Statement>) -> StorageResult<Vec<String>> {
    let mut ran = Vec::new();
    for Statement { statement } in statements {
        for single in statement.split(';') {
            conn.batch_execute(single)?;
        }
        ran.push(statement);
    }
    Ok(ran)
}
