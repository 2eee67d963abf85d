//! Maintenance of the weekly inbox partitions, beside other transactions.

use crate::support::{App, eventually, execute, number, text, waiting_for_locks};
use diesel::PgConnection;
use std::time::Duration;
use tideline::storage::error::StorageResult;
use tideline::storage::pg::sync::partitions;

const OLD: &str = "CREATE TABLE inbox_20260105 (LIKE inbox INCLUDING DEFAULTS);
    ALTER TABLE inbox ATTACH PARTITION inbox_20260105 FOR VALUES FROM ('2026-01-05 00:00Z') TO ('2026-01-12 00:00Z')";
const COUNT: &str = "SELECT count(*) AS n FROM pg_inherits WHERE inhparent = 'inbox'::regclass";

fn expire(conn: &mut PgConnection, days: u32) -> StorageResult<Vec<String>> {
    let before = partitions::days_ago(conn, days)?;
    partitions::expire(conn, before)
}

#[tokio::test(flavor = "multi_thread")]
async fn weekly_partitions_are_created_ahead_and_dropped_when_expired() {
    // The node's own maintenance must not run first.
    let app = App::configured(|config| config.inbox_retention_days = 3_650).await;
    let mut conn = app.database();
    assert_eq!(
        number(&mut conn, COUNT),
        6,
        "the week before, this one, and four ahead"
    );
    assert!(
        partitions::make(&mut conn).unwrap().is_empty(),
        "nothing to do twice"
    );
    // Created ahead for five weeks from the beginning of this one; a gap ends the count.
    let weeks = |conn: &mut _| {
        let this = number(
            conn,
            "SELECT extract(epoch FROM date_trunc('week', now(), 'UTC'))::bigint AS n",
        );
        (partitions::until(conn).unwrap() - this) as f64 / (7.0 * 86_400.0)
    };
    assert_eq!(weeks(&mut conn), 5.0);
    execute(
        &mut conn,
        "DO $$ BEGIN EXECUTE 'DROP TABLE inbox_' ||
             to_char(date_trunc('week', now(), 'UTC') AT TIME ZONE 'UTC' + interval '2 weeks', 'YYYYMMDD'); END $$",
    );
    assert_eq!(weeks(&mut conn), 2.0);
    partitions::make(&mut conn).unwrap();
    assert_eq!(weeks(&mut conn), 5.0);
    execute(&mut conn, OLD);
    assert!(expire(&mut conn, 3_650).unwrap().is_empty(), "kept");
    let ran = expire(&mut conn, 30).unwrap();
    assert_eq!(ran.len(), 1, "{ran:?}");
    assert_eq!(number(&mut conn, COUNT), 6);
    assert_eq!(
        number(
            &mut conn,
            "SELECT count(*) AS n FROM pg_class WHERE relname = 'inbox_20260105'"
        ),
        0
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_detach_is_completed_later_without_blocking_startup() {
    let (mut app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let (mut conn, mut backup) = (app.database(), app.database());
    execute(&mut conn, OLD);
    execute(
        &mut backup,
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM inbox",
    );
    execute(&mut conn, "SET lock_timeout = '300ms'");
    expire(&mut conn, 30).unwrap_err();
    // While the detach waits for the long transaction, messages are stored, another node starts, and new weeks can be created.
    ann.send(&chat, "meanwhile").await;
    app.add_node().await;
    partitions::make(&mut conn).unwrap();
    let elsewhere = ann.at(&format!("http://{}", app.nodes[1].address));
    elsewhere
        .post_message(&chat, text("from the new node"))
        .await
        .ok(201);
    execute(&mut backup, "ROLLBACK");
    // The new node may do it first: its maintenance begins immediately.
    let finish = async || {
        let _contended = expire(&mut conn, 30);
        number(&mut conn, COUNT)
    };
    eventually(
        "the detach is finished",
        Duration::from_secs(10),
        finish,
        |count| *count == 6,
    )
    .await;
    app.finish().await;
}

/// Two nodes start for the first time: one creates the partitions on a slow disk, and the other one waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn startup_waits_while_another_node_creates_partitions() {
    let mut app = App::start().await;
    let mut maker = app.database();
    execute(
        &mut maker,
        "DO $$ BEGIN EXECUTE 'DROP TABLE inbox_' ||
             to_char(date_trunc('week', now(), 'UTC') AT TIME ZONE 'UTC' + interval '2 weeks', 'YYYYMMDD'); END $$;
         SELECT pg_advisory_lock(hashtext('tideline partitions'))",
    );
    let make = async {
        waiting_for_locks(&mut maker, 1).await;
        // Longer than any other lock time-out.
        tokio::time::sleep(Duration::from_secs(5)).await;
        execute(&mut maker, "SELECT pg_advisory_unlock_all()");
    };
    tokio::join!(app.add_node(), make);
    assert_eq!(number(&mut app.database(), COUNT), 6);
    app.finish().await;
}
