//! Data access: abandoned changes are not applied later, and connections are replaced only when they are lost.

use crate::support::{App, eventually, execute, number, text};
use diesel::connection::Connection;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tideline::model::ids::ConversationId;
use tideline::storage::error::StorageError;
use tideline::storage::pg::messaging::archive::{Changes, ConversationHead};
use tideline::storage::pg::messaging::conversations;
use tideline::storage::pg::sync::inbox;

const SOON: Duration = Duration::from_secs(10);

/// Locks of another session, for which a transaction is retried, and a frozen server: both last longer than a caller waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn change_answered_503_is_not_applied_later() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let (chat, group) = (ann.direct(&ben).await, ann.group(&[&ben]).await);
    let block = format!("/me/blocks/{}", ben.id);
    ann.put(&block, Value::Null).await.ok(204);
    let mut conn = app.database();
    for frozen in [false, true] {
        if frozen {
            app.postgres.freeze();
        } else {
            execute(
                &mut conn,
                &format!(
                    "BEGIN; SELECT FROM users WHERE id = '{}' FOR UPDATE;
                     SELECT FROM conversations WHERE id IN ('{chat}', '{group}') ORDER BY id FOR UPDATE",
                    ann.id
                ),
            );
        }
        let (unblocked, promoted, renamed) = tokio::join!(
            ann.call("DELETE", &block),
            ann.change(&group, &ben, json!({"role": "admin"})),
            ann.patch("/me", json!({"display_name": "too late"})),
        );
        for answer in [unblocked, promoted, renamed] {
            answer.problem(503, "storage_unavailable");
        }
        if frozen {
            app.postgres.heal();
        } else {
            execute(&mut conn, "ROLLBACK");
        }
        // Transactions in progress end now.
        app.nodes[0].handles.delivery.pg.idle().await;
        let refused = ben.post_message(&chat, text("blocked")).await;
        refused.problem(403, "blocked");
        assert_eq!(ann.roles(&group).await[&ben.id], "member");
        assert_ne!(ann.get("/me").await.ok(200)["display_name"], "too late");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn minimal_pool_can_create_a_missing_partition() {
    let app = App::configured(|config| (config.writers, config.db_pool) = (1, 2)).await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    // The first send opens the writer's connection.
    ann.send(&chat, "one").await;
    let week = "SELECT to_char(date_trunc('week', now(), 'UTC'), 'YYYYMMDD')::bigint AS n";
    let mut conn = app.database();
    let week = number(&mut conn, week);
    execute(
        &mut conn,
        &format!("DELETE FROM inbox; DROP TABLE inbox_{week}"),
    );
    ann.group(&[&ben]).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn read_only_database_causes_few_reconnects() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let mut conn = app.database();
    let set = |conn: &mut _, how: &str| {
        let set = format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I {how}', current_database()); END $$;
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()"
        );
        execute(conn, &set);
    };
    set(&mut conn, "SET default_transaction_read_only = on");
    let sent = async || ann.post_message(&chat, text("x")).await.status;
    eventually("it takes no writes", SOON, sent, |status| *status == 503).await;
    let (before, started) = (app.postgres.opened(), Instant::now());
    for _ in 0..100 {
        let refused = ann.post_message(&chat, text("x")).await;
        refused.problem(503, "storage_unavailable");
    }
    // All connections are replaced once a second at most.
    let most =
        app.nodes[0].handles.config.db_pool as usize * (started.elapsed().as_secs() as usize + 2);
    let made = app.postgres.opened() - before;
    assert!(made <= most, "{made} connections for 100 refusals");
    set(&mut conn, "RESET default_transaction_read_only");
    eventually("it takes writes", SOON, sent, |status| *status == 201).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cancelled_statement_keeps_its_connection() {
    let (app, [ann]) = App::with(["ann"]).await;
    let (mut conn, mut other) = (app.database(), app.database());
    let hold = format!(
        "BEGIN; SELECT FROM users WHERE id = '{}' FOR UPDATE",
        ann.id
    );
    execute(&mut conn, &hold);
    let size = app.nodes[0].handles.config.db_pool as usize;
    let opened = async || app.postgres.opened();
    eventually("the pool is there", SOON, opened, |n| *n == size).await;
    let mut cancelled = 0;
    // It is retried once.
    let cancel = async {
        loop {
            cancelled += number(
                &mut other,
                "SELECT count(pg_cancel_backend(pid)) AS n FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'",
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let answer = tokio::select! {
        answer = ann.patch("/me", json!({"display_name": "Ann"})) => answer,
        () = cancel => unreachable!(),
    };
    assert!(cancelled > 0);
    answer.problem(503, "storage_unavailable");
    assert_eq!(app.postgres.opened(), size);
    execute(&mut conn, "ROLLBACK");
    app.finish().await;
}

/// No code moves a row between its lock and its update. If one did, nothing of the batch may be stored.
#[tokio::test(flavor = "multi_thread")]
async fn moved_row_rolls_back_the_batch() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let id = ConversationId(ann.direct(&ben).await.parse().unwrap());
    let mut conn = app.database();
    for moved in [false, true] {
        let written = conn.transaction(|conn| {
            let locked = conversations::lock(conn, &[id])?.pop().unwrap();
            if moved {
                execute(
                    conn,
                    &format!("UPDATE conversations SET title = title WHERE id = '{id}'"),
                );
            }
            let changes = Changes {
                heads: HashMap::from([(
                    locked.place,
                    ConversationHead {
                        last_seq: locked.last_seq,
                        change_seq: locked.change_seq,
                        all_seq: locked.all_seq,
                        updated_at: locked.updated_at,
                    },
                )]),
                ..Changes::default()
            };
            inbox::deliver(conn, &changes, &[], locked.updated_at)
        });
        match written {
            Ok(_) => assert!(!moved),
            Err(StorageError::Bug(why)) => assert!(moved && why.contains("places"), "{why}"),
            Err(error) => panic!("{error}"),
        }
    }
    app.finish().await;
}

/// A simulated bug: an impossible head.
#[tokio::test(flavor = "multi_thread")]
async fn panicked_writer_fails_readiness() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    app.call("GET", "/health/ready", None).await.ok(200);
    let mut conn = app.database();
    let set = |head: i64| format!("UPDATE conversations SET last_seq = {head} WHERE id = '{chat}'");
    execute(&mut conn, &set(i64::MAX));
    let lost = ann.post_message(&chat, text("x")).await;
    lost.problem(503, "storage_unavailable");
    execute(&mut conn, &set(0));
    let ready = async || app.call("GET", "/health/ready", None).await;
    let ended = eventually("the writer has ended", SOON, ready, |it| it.status == 503).await;
    assert_eq!(
        ended.body["reasons"],
        json!(["a writer has ended because of a bug: restart this node"])
    );
    app.finish().await;
}
