//! Devices that were away too long: trimmed entries are reported, and a resync recovers everything.

use crate::support::{
    App, Client, Proxy, admin as run, eventually, execute, number, services, text,
};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Runs `tideline admin …` and returns the line it prints.
fn admin(app: &App, arguments: &[&str]) -> Value {
    let output = app.admin(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn device_away_past_retention_recovers_during_traffic() {
    let (app, [ann, ben, cat, dan, eve]) = App::with(["ann", "ben", "cat", "dan", "eve"]).await;
    let mut chats = vec![ann.group(&[&ben, &cat, &dan]).await];
    for peer in [&ben, &cat, &dan, &eve] {
        chats.push(ann.direct(peer).await);
    }
    for chat in &chats {
        ann.send(chat, "before").await;
    }
    let mut online = Client::start(&ann).await;
    let mut away = Client::start(&ann.another_device(&app).await).await;
    let mut left_behind = Client::start(&ann.another_device(&app).await).await;

    // While two devices are away: messages, a mark, a title, a group joined and one left.
    let done = AtomicBool::new(false);
    ann.read(&chats[0], 1).await;
    ann.remove(&chats[0], &cat).await.ok(204);
    ann.patch(
        &format!("/conversations/{}", chats[0]),
        json!({"title": "later"}),
    )
    .await
    .ok(200);
    let joined = ben.group(&[&ann]).await;
    let left = ben.group(&[&ann]).await;
    ann.remove(&left, &ann).await.ok(204);
    for n in 0..12 {
        for (peer, chat) in [&ben, &cat, &dan, &eve].into_iter().zip(&chats[1..]) {
            peer.send(chat, &n.to_string()).await;
        }
        ben.send(&joined, &n.to_string()).await;
    }
    online.sync().await;
    let cut = number(
        &mut app.database(),
        "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS n",
    );
    ben.send(&chats[1], "kept").await;
    let before = chrono(cut);
    let dropped = admin(&app, &["expire-inbox", "--before", &before]);
    assert!(dropped["dropped"].as_i64().unwrap() > 60, "{dropped}");

    // A position from before the cut gets no gap, but resync instructions.
    let since = away.since;
    let trimmed = away.person.get(&format!("/inbox?since_seq={since}")).await;
    let trimmed = trimmed.problem(410, "inbox_trimmed");
    let head = ann.head().await;
    assert_eq!(
        (&trimmed["first_seq"], &trimmed["last_seq"]),
        (&json!(head), &json!(head))
    );
    // A wait checks the head only: it reports news, and the fetch reports the rest.
    assert_eq!(away.person.wait(since, 0).await["news"], true);
    // A device with everything up to the cut continues; one entry less is too little.
    online.sync().await;
    assert_eq!(online.restarts, [""; 0]);
    ann.get(&format!("/inbox?since_seq={}", head - 1))
        .await
        .ok(200);
    ann.get(&format!("/inbox?since_seq={}", head - 2))
        .await
        .problem(410, "inbox_trimmed");

    let noise = async {
        while !done.load(Ordering::Acquire) {
            ben.send(&chats[0], "meanwhile").await;
            dan.send(&chats[3], "meanwhile").await;
        }
    };
    let recover = async {
        for _ in 0..3 {
            away.sync().await;
            left_behind.sync().await;
        }
        done.store(true, Ordering::Release);
    };
    tokio::join!(noise, recover);
    for client in [&mut online, &mut away, &mut left_behind] {
        client.sync().await;
        client.check().await;
    }
    assert_eq!(away.restarts, ["inbox_trimmed"]);
    assert_eq!(left_behind.restarts, ["inbox_trimmed"]);
    // Nothing is kept: clients continue from the head.
    let now = number(
        &mut app.database(),
        "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS n",
    );
    admin(&app, &["expire-inbox", "--before", &chrono(now)]);
    let head = ann.head().await;
    assert_eq!(ann.inbox(head).await["entries"], json!([]));
    let trimmed = ann
        .get("/inbox?since_seq=0")
        .await
        .problem(410, "inbox_trimmed");
    assert_eq!(trimmed["first_seq"], head + 1);
    ann.total().await;
    app.finish().await;
}

/// A time in the future is a mistake that would drop everything.
#[tokio::test(flavor = "multi_thread")]
async fn expiry_rejects_future_times_and_names_dropped_weeks() {
    // The node's own maintenance must not run first.
    let app = App::configured(|config| config.inbox_retention_days = 3_650).await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    ann.send(&ann.direct(&ben).await, "hi").await;
    execute(
        &mut app.database(),
        "CREATE TABLE inbox_20200106 (LIKE inbox INCLUDING DEFAULTS);
         ALTER TABLE inbox ATTACH PARTITION inbox_20200106 FOR VALUES FROM ('2020-01-06Z') TO ('2020-01-13Z')",
    );
    let refused = app.admin(&["expire-inbox", "--before", "2999-01-01T00:00:00Z"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success(), "{said}");
    let why = "--before must not be in the future: the database has 20";
    assert!(said.contains(why), "{said}");
    assert_eq!(ben.entries(0).await.len(), 2);

    let dropped = app.admin(&["expire-inbox", "--before", "2020-02-01T00:00:00Z"]);
    let said = String::from_utf8_lossy(&dropped.stderr);
    assert!(dropped.status.success(), "{said}");
    let lines = said.lines().filter(|line| line.contains("partitions: "));
    let named: Vec<_> = lines
        .filter(|line| line.contains("inbox_20200106"))
        .collect();
    assert_eq!(named.len(), 1, "{said}");
    assert_eq!(ben.entries(0).await.len(), 2);
    app.finish().await;
}

fn chrono(milliseconds: i64) -> String {
    let at = chrono::DateTime::from_timestamp_millis(milliseconds).unwrap();
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn new_epoch_makes_every_device_resync() {
    let (mut app, [ann, ben, new]) = App::with(["ann", "ben", "new"]).await;
    let chat = ann.direct(&ben).await;
    for n in 0..5 {
        ann.send(&chat, &n.to_string()).await;
    }
    let mut minds = Client::start(&ben).await;
    let mut ignores = Client::start(&ben.another_device(&app).await).await;
    ignores.minds_epochs = false;
    // Lost with the backup: these devices have seen more than the database has.
    minds.since += 1_000;
    ignores.since += 1_000;
    let (old, reached) = (minds.since, ben.head().await);

    let epoch = admin(&app, &["new-epoch"])["epoch"].clone();
    // A node that is still running reports that it must be restarted.
    let ready = app.call("GET", "/health/ready", None).await;
    let why = json!(["the database began a new epoch: restart this node"]);
    assert_eq!((ready.status, &ready.body["reasons"]), (503, &why));
    let node = app.nodes.pop().unwrap();
    node.stop().await.unwrap();
    app.add_node().await;
    for client in [&mut minds, &mut ignores] {
        client.person = client.person.at(&app.url());
    }
    let (ann, ben, new) = (ann.at(&app.url()), ben.at(&app.url()), new.at(&app.url()));
    let capabilities = app.call("GET", "/v1/capabilities", None).await.ok(200);
    assert_eq!(capabilities["epoch"], epoch);

    // Heads are beyond all seqs that were ever handed out, for every user, with or without entries.
    let head = ben.head().await;
    assert!(head > reached + 1_000_000_000, "{head}");
    assert!(new.head().await > 1_000_000_000);
    ann.send(&chat, "the first of the new life").await;
    let wait = ben
        .get(&format!("/notices?since_seq={old}&epoch={}", minds.epoch()))
        .await;
    let changed = wait.problem(409, "epoch_changed");
    assert_eq!(
        (&changed["epoch"], &changed["last_seq"]),
        (&epoch, &json!(head + 1))
    );
    for client in [&mut minds, &mut ignores] {
        client.sync().await;
        client.check().await;
    }
    assert_eq!(minds.restarts, ["epoch_changed"]);
    // It did not send its epoch, and still got no seqs of another epoch.
    assert_eq!(ignores.restarts, ["inbox_trimmed"]);
    let message = text("and on");
    ann.post_message(&chat, message.clone()).await.ok(201);
    ann.post_message(&chat, message).await.ok(200);
    let total = async || ben.total().await;
    eventually("counted", Duration::from_secs(5), total, |total| {
        *total == 7
    })
    .await;
    app.finish().await;
}

/// A trigger that sleeps for this time.
fn slow(app: &App, seconds: u32, trigger: &str) {
    execute(
        &mut app.database(),
        &format!(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END';
             {trigger} EXECUTE FUNCTION slow()"
        ),
    );
}

fn stored_epoch(app: &App, epoch: &Value) -> bool {
    let text = epoch.as_str().unwrap();
    let same = format!("SELECT count(*) AS n FROM instance WHERE epoch = '{text}'");
    number(&mut app.database(), &same) == 1
}

/// As slow as with a million accounts.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn new_epoch_has_no_statement_timeout() {
    let (app, _) = App::with(["ann"]).await;
    let trigger = "CREATE TRIGGER slow AFTER INSERT ON timelines FOR EACH STATEMENT";
    slow(&app, 5, trigger);
    let epoch = admin(&app, &["new-epoch"])["epoch"].clone();
    assert!(stored_epoch(&app, &epoch));
    execute(&mut app.database(), "DROP FUNCTION slow CASCADE");
    app.finish().await;
}

/// The connection is lost during the commit, and the command still reports the outcome.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn new_epoch_reports_its_outcome_after_a_lost_commit_acknowledgement() {
    let (app, _) = App::with(["ann"]).await;
    let trigger = "CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON instance
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW";
    slow(&app, 3, trigger);
    let proxy = Proxy::before(&app.database_url());
    let (url, redis) = (proxy.url().to_owned(), services().redis_url());
    let command = tokio::task::spawn_blocking(move || run(&url, &redis, &["new-epoch"]));
    let mut conn = app.database();
    let commits = "SELECT count(*) AS n FROM pg_stat_activity
        WHERE datname = current_database() AND query = 'COMMIT' AND state = 'active'";
    let commits = async || number(&mut conn, commits);
    let soon = Duration::from_secs(20);
    eventually("it commits", soon, commits, |n| *n == 1).await;
    proxy.cut();
    proxy.heal();
    let output = command.await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(stored_epoch(&app, &line["epoch"]));
    execute(&mut app.database(), "DROP FUNCTION slow CASCADE");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn failed_new_epoch_keeps_the_old_epoch() {
    let (app, _) = App::with(["ann"]).await;
    execute(
        &mut app.database(),
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END';
         CREATE TRIGGER no AFTER INSERT ON timelines FOR EACH STATEMENT EXECUTE FUNCTION no()",
    );
    let output = app.admin(&["new-epoch"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the epoch is the old one"), "{said}");
    assert!(stored_epoch(
        &app,
        &json!(app.nodes[0].handles.delivery.epoch)
    ));
    execute(&mut app.database(), "DROP FUNCTION no CASCADE");
    app.finish().await;
}
