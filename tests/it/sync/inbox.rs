//! The inbox: one cursor over everything that a device needs, without gaps.

use crate::support::{App, eventually, execute, id};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::sync::{Arc, Barrier};
use std::time::Duration;
use tideline::engine::batching::query_batcher::{BatchConfig, QueryBatcher};

#[tokio::test(flavor = "multi_thread")]
async fn device_converges_by_replaying_its_inbox() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let one = ann.send(&chat, "one").await;
    let two = ann.send(&chat, "two").await;
    ben.read(&chat, 1).await;
    let three = ben.send(&chat, "three").await;

    let summary = |entries: &[serde_json::Value]| -> Vec<serde_json::Value> {
        entries
            .iter()
            .map(|e| {
                json!([
                    e["seq"],
                    e["kind"],
                    e["unread"],
                    e["message"]["seq"],
                    e["read_seq"]
                ])
            })
            .collect()
    };
    let entries = ben.entries(0).await;
    assert_eq!(
        summary(&entries),
        [
            json!([1, "conversation", 0, null, null]),
            json!([2, "message", 1, 1, null]),
            json!([3, "message", 2, 2, null]),
            json!([4, "read", 1, null, 1]),
            json!([5, "message", 0, 3, null]),
        ]
    );
    assert_eq!(
        [
            &entries[1]["message"],
            &entries[2]["message"],
            &entries[4]["message"]
        ],
        [&one, &two, &three]
    );
    assert!(
        entries
            .iter()
            .all(|entry| entry["conversation_id"] == chat.as_str())
    );
    // The sender's other devices need the sender's messages; the peer's read mark is private.
    assert_eq!(
        summary(&ann.entries(0).await),
        [
            json!([1, "conversation", 0, null, null]),
            json!([2, "message", 0, 1, null]),
            json!([3, "message", 0, 2, null]),
            json!([4, "message", 1, 3, null]),
        ]
    );
    // Another device of the same user sees the same; reading changes nothing.
    let tablet = ben.another_device(&app).await;
    assert_eq!(tablet.entries(0).await, ben.entries(0).await);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inbox_pages_are_contiguous() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    for n in 0..9 {
        ann.send(&chat, &n.to_string()).await;
    }
    let page = ben.get("/inbox?since_seq=0&limit=4").await.ok(200);
    assert_eq!(
        (
            &page["next_since_seq"],
            &page["last_seq"],
            &page["has_more"]
        ),
        (&json!(4), &json!(10), &json!(true))
    );
    let page = ben.get("/inbox?since_seq=8&limit=4").await.ok(200);
    assert_eq!(
        (&page["next_since_seq"], &page["has_more"]),
        (&json!(10), &json!(false))
    );
    assert_eq!(page["entries"].as_array().unwrap().len(), 2);
    let page = ben.get("/inbox?since_seq=10").await.ok(200);
    assert_eq!(
        (&page["entries"], &page["next_since_seq"], &page["last_seq"]),
        (&json!([]), &json!(10), &json!(10))
    );
    for bad in [
        "",
        "?since_seq=-1",
        "?since_seq=1.5",
        "?since_seq=0&limit=0",
        "?since_seq=0&limit=501",
        "?since_seq=0&epoch=1",
        "?since_seq=9007199254740992",
        "?since_seq=0&x=1",
    ] {
        ben.get(&format!("/inbox{bad}"))
            .await
            .problem(400, "validation");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_positions_return_resync_instructions() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let epoch = app.call("GET", "/v1/capabilities", None).await.ok(200)["epoch"].clone();
    let same = format!("epoch={}", epoch.as_str().unwrap());
    ben.get(&format!("/inbox?since_seq=1&{same}")).await.ok(200);
    for path in ["/inbox?since_seq=2", "/notices?since_seq=2&timeout=5"] {
        let ahead = ben.get(path).await.problem(409, "cursor_ahead");
        assert_eq!(
            (
                &ahead["epoch"],
                &ahead["first_seq"],
                &ahead["last_seq"],
                &ahead["resync"]
            ),
            (&epoch, &json!(1), &json!(1), &json!("/v1/conversations"))
        );
        // The epoch is checked first.
        ben.get(&format!("{path}&epoch={}", id()))
            .await
            .problem(409, "epoch_changed");
    }
    // The oldest entries are dropped: devices behind them get an error, devices beyond them continue.
    execute(
        &mut app.database(),
        "DELETE FROM inbox WHERE kind = 'conversation'",
    );
    ann.send(&chat, "later").await;
    let trimmed = ben
        .get("/inbox?since_seq=0")
        .await
        .problem(410, "inbox_trimmed");
    assert_eq!(
        (&trimmed["first_seq"], &trimmed["last_seq"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(ben.entries(1).await.len(), 1);
    // The resync: list by id, and continue from the position of the first page.
    let list = ben.get("/conversations?order=id").await.ok(200);
    assert_eq!(
        (
            &list["inbox_seq"],
            &list["conversations"][0]["me"]["unread"]
        ),
        (&json!(2), &json!(1))
    );
    ben.inbox(list["inbox_seq"].as_i64().unwrap()).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resync_first_seq_is_head_plus_one_when_inbox_is_empty() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    ann.direct(&ben).await;
    execute(&mut app.database(), "DELETE FROM inbox");
    let trimmed = ben
        .get("/inbox?since_seq=0")
        .await
        .problem(410, "inbox_trimmed");
    assert_eq!(
        (&trimmed["first_seq"], &trimmed["last_seq"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(ben.inbox(1).await["entries"], json!([]));
    app.finish().await;
}

/// During a rolling upgrade, the older server meets kinds that it does not know.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_entry_kinds_are_returned_with_their_kind() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    execute(
        &mut app.database(),
        &format!(
            "UPDATE timelines SET last_seq = last_seq + 1 WHERE user_id = '{0}';
             INSERT INTO inbox SELECT user_id, last_seq, last_at, 'poll', '{chat}', 7, 0
                 FROM timelines WHERE user_id = '{0}'",
            ben.id
        ),
    );
    ann.send(&chat, "after it").await;
    let entries = ben.entries(0).await;
    let kinds: Vec<_> = entries
        .iter()
        .map(|one| one["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["conversation", "poll", "message"]);
    assert_eq!(entries[1]["conversation_id"], chat.as_str());
    app.finish().await;
}

/// Concurrent fetches share queries. Each gets its own page, or its own refusal.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_fetches_share_connections_and_get_own_pages() {
    let app = App::configured(|config| config.db_pool = 20).await;
    let [ann, ben, cat] = app.people(["ann", "ben", "cat"]).await;
    let chat = ann.direct(&ben).await;
    let group = cat.group(&[&ann, &ben]).await;
    for n in 0..5 {
        ann.send(&chat, &format!("to Ben {n}")).await;
        ben.send(&group, &format!("to all {n}")).await;
    }
    let mut asked = Vec::new();
    for person in [&ann, &ben, &cat] {
        for since in [0, 1, 3, 7, 99] {
            for limit in [1, 2, 500] {
                asked.push((person, format!("/inbox?since_seq={since}&limit={limit}")));
            }
        }
    }
    let mut alone = Vec::new();
    for (person, path) in &asked {
        alone.push(person.get(path).await);
    }
    let pg = &app.nodes[0].handles.delivery.pg;
    app.postgres.freeze();
    let fetches = join_all(asked.iter().map(|(person, path)| person.get(path)));
    let held = async {
        let waiting = async || pg.usage().waiting;
        let all = asked.len();
        eventually("all wait", Duration::from_secs(3), waiting, |n| *n >= all).await;
        let in_use = pg.usage().in_use;
        app.postgres.heal();
        in_use
    };
    let (together, in_use) = tokio::join!(fetches, held);
    // The connections of the writers, as many for queries, and at most one for each of the node's eight tasks: the others are free.
    let bound = 2 * app.config.writers + 8;
    assert!(in_use <= bound && bound < app.config.db_pool, "{in_use}");
    for ((mut one, other), (_, path)) in together.into_iter().zip(alone).zip(&asked) {
        // A problem contains its request id.
        if let Some(id) = one.body.get_mut("request_id") {
            *id = other.body["request_id"].clone();
        }
        assert_eq!((one.status, one.body), (other.status, other.body), "{path}");
    }
    app.finish().await;
}

/// One query per request would be the main load of a server with many clients.
#[tokio::test(flavor = "multi_thread")]
async fn query_batcher_coalesces_concurrent_requests() {
    let (app, []) = App::with([]).await;
    let manner = BatchConfig {
        name: "shared",
        batch: 4,
        concurrency: 1,
        queue: 100,
    };
    // A query waits twice at the barrier of its first request, if it has one. Each answer is the size of the batch.
    let shared = QueryBatcher::start(
        &app.nodes[0].handles.delivery.pg,
        manner,
        |_, met: &[Option<Arc<Barrier>>]| {
            for barrier in met[0].iter().chain(&met[0]) {
                barrier.wait();
            }
            Ok(vec![met.len(); met.len()])
        },
    );
    let barrier = Arc::new(Barrier::new(2));
    let meet = || tokio::task::block_in_place(|| barrier.wait());
    let first = shared.submit(Some(Arc::clone(&barrier)));
    let others = async {
        meet();
        let others = join_all((0..6).map(|_| shared.submit(None)));
        tokio::join!(others, async { meet() }).0
    };
    let (first, others) = tokio::join!(first, others);
    let sizes = [first].into_iter().chain(others).map(Result::unwrap);
    assert_eq!(sizes.collect::<Vec<_>>(), [1, 4, 4, 4, 4, 2, 2]);
    app.finish().await;
}

/// A thousand renames must not return a thousand copies of the last message.
#[tokio::test(flavor = "multi_thread")]
async fn page_includes_the_last_message_once_per_conversation() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.group(&[&ben]).await;
    let large =
        json!({"client_msg_id": id(), "kind": "custom", "content": {"x": "y".repeat(900_000)}});
    let sent = ann.post_message(&chat, large).await.ok(201);
    let before = ben.head().await;
    for n in 0..30 {
        let title = json!({"title": format!("title {n}")});
        let path = format!("/conversations/{chat}");
        ann.patch(&path, title).await.ok(200);
    }
    let page = ben.inbox(before).await;
    let entries = page["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 30);
    let (last, others) = entries.split_last().unwrap();
    assert_eq!(last["conversation"]["last_message"]["id"], sent["id"]);
    for entry in others {
        assert_eq!(entry["conversation"]["last_message"], Value::Null);
        assert_eq!(entry["conversation"]["title"], "title 29");
    }
    app.finish().await;
}
