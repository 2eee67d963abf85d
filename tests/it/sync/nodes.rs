//! Several nodes on one database and one Redis. `tests/timing` measures how quickly one wakes the waits of another.

use crate::support::waits::IMMEDIATE;
use crate::support::waits::{parked, time_out_and_sweep, two_nodes};
use crate::support::{App, Person, eventually, text};
use futures_util::future::join_all;
use serde_json::json;
use std::time::{Duration, Instant};
use tideline::domain::sync::notices::unsubscribe_idle;
use tideline::model::ids::{DeviceId, UserId};
use tideline::storage::redis::sync::channel::Channel;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn repoll_without_news_skips_postgres() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    // From before the first entry, and from after it.
    for since in [0, 1] {
        ben.total().await;
        time_out_and_sweep(&app, &ben, since).await;
        app.postgres.freeze();
        assert_eq!(ben.wait(since, 1).await["news"], false);
        // Another position needs a query.
        let path = format!("/notices?since_seq={}&timeout=1", 1 - since);
        let asked = ben.get(&path).await;
        asked.problem(503, "storage_unavailable");
        app.postgres.heal();
        if since == 0 {
            ann.direct(&ben).await;
        }
    }
    app.finish().await;
}

/// A repeated wait reuses the cached total as long as the head is the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn repoll_without_news_skips_redis() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    ann.send(&chat, "one").await;
    assert_eq!(ben.total().await, 1);
    assert_eq!(ben.wait(2, 1).await["total_unread"], 1);
    // Redis is not read, so its value does not matter.
    let wrong: i64 = app.unread_hash(&ben, "HSET", &["total", "7"]).await;
    assert_eq!(wrong, 0);
    assert_eq!(ben.wait(2, 1).await["total_unread"], 1);
    let _: i64 = app.unread_hash(&ben, "HSET", &["total", "1"]).await;
    ann.send(&chat, "two").await;
    assert_eq!(ben.wait(2, 1).await["total_unread"], 2);
    assert_eq!(ben.wait(3, 1).await["total_unread"], 2);
    app.finish().await;
}

fn inbox(person: &Person) -> Channel {
    Channel::Inbox(UserId(person.id.parse().unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_idle_subscriptions_are_ended() {
    let (app, _, ann, ben, chat) = two_nodes().await;
    let node = &app.nodes[0].handles;
    ann.wait(1, 1).await;
    // The subscription stays while the device is shown online.
    unsubscribe_idle(&node.delivery).await;
    assert!(node.delivery.notices.is_active(inbox(&ann)));
    let device = DeviceId(ann.device.parse().unwrap());
    node.delivery.waiters.presence.mine.forget(device);
    let gone = async || node.delivery.waiters.presence.mine.users();
    eventually("it is gone", IMMEDIATE * 2, gone, Vec::is_empty).await;
    let wait = parked(&app, &ben, 1).await;
    assert!(node.delivery.notices.is_active(inbox(&ann)));
    unsubscribe_idle(&node.delivery).await;
    assert!(!node.delivery.notices.channels().contains(&inbox(&ann)));
    assert!(node.delivery.notices.is_active(inbox(&ben)));
    ann.send(&chat, "x").await;
    wait.await.unwrap();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn out_of_order_announcements_leave_exact_counts() {
    let (app, second, ann, ben, chat) = two_nodes().await;
    let [cat] = app.people(["cat"]).await;
    let other = cat.direct(&ben).await;
    ben.total().await;
    let noise = |person: Person, chat: String| async move {
        for _ in 0..60 {
            person.send(&chat, "x").await;
        }
    };
    let reads = async {
        for seq in 1..20 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let head = ben.history(&chat, 0).await.len() as i64;
            ben.at(&second).read(&chat, seq.min(head)).await;
            ben.total().await;
        }
    };
    let senders = vec![
        noise(ann.clone(), chat.clone()),
        noise(ann.at(&second), chat.clone()),
        noise(cat.at(&second), other.clone()),
        noise(cat.clone(), other.clone()),
    ];
    tokio::join!(join_all(senders), reads);
    assert_eq!(ben.total().await, ben.at(&second).total().await);
    assert_eq!(ben.total().await, 120 - 19 + 120);
    app.finish().await;
}

/// Killed between commit and announcement: only the sweep of the other node can find the message.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn message_unannounced_by_a_killed_node_is_found() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    ann.send(&chat, "counted").await;
    // From here on Redis has a total for Ben, which becomes stale.
    ben.total().await;
    let doomed = app.add_process(&[]);
    let through_doomed = ann.at(&doomed.process.url);
    let wait = parked(&app, &ben, 2).await;
    doomed.redis.freeze();
    let message = text("committed");
    let stored = through_doomed
        .post_message(&chat, message.clone())
        .await
        .ok(201);
    doomed.process.signal("KILL");
    let killed = Instant::now();
    let notice = wait.await.unwrap();
    let took = killed.elapsed();
    assert_eq!(
        (
            &notice["news"],
            &notice["last_seq"],
            &notice["total_unread"]
        ),
        (&json!(true), &json!(3), &json!(2))
    );
    // Five seconds are guaranteed; the rest is slack for a busy machine.
    assert!(took < Duration::from_millis(5_500), "{took:?}");
    assert_eq!(
        ben.unread().await,
        json!({"total": 2, "conversations": [{"conversation_id": chat, "unread": 2}], "as_of_seq": 3})
    );
    // A replay on the remaining node gets the first answer.
    let again = ann.post_message(&chat, message).await;
    assert_eq!(again.ok(200), stored);
    let entries = ben.entries(2).await;
    assert_eq!(
        entries
            .iter()
            .map(|entry| &entry["message"])
            .collect::<Vec<_>>(),
        [&stored]
    );
    ann.send(&chat, "after").await;
    assert_eq!(ben.total().await, 3);
    app.finish().await;
}

/// A node is killed between the commit of a recall and its announcement: each member's device on the other node has it within the period
/// of the sweep, in a small conversation from its inbox, in a large one from the number of changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn recall_unannounced_by_a_killed_node_is_found() {
    for fanout_limit in [500, 2] {
        let is_large = fanout_limit == 2;
        let app = App::configured(|config| config.fanout_limit = fanout_limit).await;
        let [ann, ben, cat] = app.people(["ann", "ben", "cat"]).await;
        let tablet = ann.another_device(&app).await;
        let chat = ann.group(&[&ben, &cat]).await;
        ann.send(&chat, "canary").await;
        let devices = [&tablet, &ben, &cat];
        let mut waits = Vec::new();
        for who in devices {
            // From here on Redis has a total, which becomes stale.
            who.total().await;
            let head = who.head().await;
            let path = format!("/notices?since_seq={head}&timeout=30&watch={chat}:1:0");
            let device = who.clone();
            waits.push(tokio::spawn(async move {
                let notice = device.get(&path).await.ok(200);
                (notice, head, Instant::now())
            }));
        }
        app.asleep(0, 3).await;
        let doomed = app.add_process(&[]);
        let through_doomed = ann.at(&doomed.process.url);
        doomed.redis.freeze();
        let path = format!("/conversations/{chat}/messages/1");
        let stub = through_doomed.call("DELETE", &path).await.ok(200);
        doomed.process.signal("KILL");
        let killed = Instant::now();
        for (who, wait) in devices.into_iter().zip(waits) {
            let (notice, head, at) = wait.await.unwrap();
            let took = at - killed;
            // Five seconds are guaranteed; the rest is slack for a busy machine.
            assert!(took < Duration::from_millis(5_500), "{took:?}");
            let moved = json!([{"conversation_id": chat, "last_seq": 1, "change_seq": 1, "reads_moved": false}]);
            let entries = who.entries(head).await;
            let recalls = entries.iter().filter(|one| one["kind"] == "recall");
            let recalls: Vec<_> = recalls.map(|one| &one["message"]).collect();
            // In a large one only the author's devices have an entry.
            let has_entry = !is_large || who.name == "ann";
            assert_eq!(recalls, if has_entry { vec![&stub] } else { vec![] });
            assert!(
                notice["news"] == true || notice["watched"] == moved,
                "{notice}"
            );
            let changed = format!("/conversations/{chat}/messages?changed_since=0");
            let changed = who.get(&changed).await.ok(200);
            assert_eq!(changed["messages"], json!([stub]));
            // In a large one the stub counts until it is read.
            let unread = i64::from(is_large && who.name != "ann");
            assert_eq!(notice["total_unread"], unread, "{} {notice}", who.name);
            assert_eq!(who.total().await, unread);
            let inbox = who.inbox(0).await.to_string();
            assert!(!inbox.contains("canary"), "{inbox}");
        }
        app.finish().await;
    }
}

/// Requests that reach a stopped node are served when it resumes. The time-out for request heads is meant for slow clients
/// only.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn resumed_node_serves_requests_received_while_stopped() {
    let (app, [ann]) = App::with(["ann"]).await;
    let node = app.add_process(&[]);
    let through = ann.at(&node.process.url);
    through.unread().await;
    node.process.signal("STOP");
    // Each on its own connection, which waits to be accepted.
    let requests = (0..100).map(|_| {
        let through = through.clone();
        tokio::spawn(async move { through.get("/unread").await })
    });
    let requests: Vec<_> = requests.collect();
    // As long as in docs/FAULTS.md, and longer than a time-out for heads of ten seconds.
    tokio::time::sleep(Duration::from_secs(11)).await;
    node.process.signal("CONT");
    for request in join_all(requests).await {
        request.unwrap().ok(200);
    }
    app.finish().await;
}
