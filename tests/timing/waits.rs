//! Wake-ups that must come well before the next sweep, which would hide a notice that was lost.

use crate::support::waits::{IMMEDIATE, parked, time_out_and_sweep, two_nodes};
use crate::support::{App, Person, eventually, number};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tideline::config::Secret;
use tideline::domain::sync::notices::unsubscribe_idle;
use tideline::model::ids::UserId;
use tideline::node::Node;
use tideline::storage::redis::sync::channel::Channel;
use tideline::storage::redis::sync::unread;

/// Ben waits on the first node, Ann sends through the second.
async fn woken(app: &App, ann: &Person, ben: &Person, chat: &str) -> Duration {
    let head = ben.head().await;
    let wait = parked(app, ben, head).await;
    let sent = Instant::now();
    ann.send(chat, "across").await;
    let notice = wait.await.unwrap();
    assert_eq!(
        (
            &notice["news"],
            &notice["last_seq"],
            &notice["total_unread"]
        ),
        (&json!(true), &json!(head + 1), &json!(ben.total().await))
    );
    sent.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn send_on_one_node_wakes_a_wait_on_another() {
    let (app, second, ann, ben, chat) = two_nodes().await;
    let ann = ann.at(&second);
    for round in 0..10 {
        // With a hash that knows the total, and without one.
        if round % 3 == 0 {
            app.flush_redis().await;
        }
        let took = woken(&app, &ann, &ben, &chat).await;
        assert!(took < IMMEDIATE, "round {round}: {took:?}");
    }
    app.finish().await;
}

/// Register, query, sleep: the query sees the state before the send, and the notice of the send arrives before the sleep.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn message_between_head_query_and_sleep_wakes_the_wait() {
    let (mut app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    // The second node reaches PostgreSQL without the proxy that holds back the first node's answer.
    let mut config = app.config.clone();
    config.database_url = Secret(app.database_url());
    app.nodes.push(Node::start(config).await.unwrap());
    let ann = ann.at(&format!("http://{}", app.nodes[1].address));
    let mut conn = app.database();
    // If only the sweep saves a round, the next round waits for a whole period of the sweep.
    for round in 1..=3 {
        let began = number(
            &mut conn,
            "SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::bigint AS n",
        );
        let looks = format!(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle'
             AND query LIKE 'SELECT t.user_id, t.last_seq%'
             AND extract(epoch FROM query_start) * 1e6 > {began}"
        );
        app.postgres.hold_answers();
        let wait = tokio::spawn({
            let ben = ben.clone();
            async move { ben.wait(round, 20).await }
        });
        let looked = async || number(&mut conn, &looks);
        eventually("it looks", Duration::from_secs(3), looked, |count| {
            *count > 0
        })
        .await;
        ann.send(&chat, "in between").await;
        app.postgres.heal();
        let healed = Instant::now();
        assert_eq!(wait.await.unwrap()["last_seq"], round + 1);
        assert!(
            healed.elapsed() < IMMEDIATE,
            "round {round}: {:?}",
            healed.elapsed()
        );
    }
    app.finish().await;
}

/// A message between two waits causes no notice, and the next wait must still return it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn news_between_two_waits_is_returned_immediately() {
    let (app, second, ann, ben, chat) = two_nodes().await;
    // A round that only the sweep saves may be lucky once.
    for round in 1..=8 {
        time_out_and_sweep(&app, &ben, round).await;
        match round % 4 {
            0 => drop(ann.send(&chat, "here").await),
            1 => drop(ann.at(&second).send(&chat, "across").await),
            2 => {
                unsubscribe_idle(&app.nodes[0].handles.delivery).await;
                ann.at(&second).send(&chat, "nobody listens").await;
            }
            _ => {
                app.redis.cut();
                ann.at(&second).send(&chat, "missed").await;
                app.redis.heal();
            }
        }
        let asked = Instant::now();
        assert_eq!(ben.wait(round, 20).await["last_seq"], round + 1);
        let took = asked.elapsed();
        assert!(took < IMMEDIATE, "round {round}: {took:?}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lost_subscriptions_are_restored_and_missed_news_is_found() {
    let (app, second, ann, ben, chat) = two_nodes().await;
    let ann = ann.at(&second);
    let wait = parked(&app, &ben, 1).await;
    app.redis.cut();
    ann.send(&chat, "missed").await;
    app.redis.heal();
    let healed = Instant::now();
    assert_eq!(wait.await.unwrap()["last_seq"], 2);
    assert!(
        healed.elapsed() < Duration::from_secs(5),
        "{:?}",
        healed.elapsed()
    );
    let missing = async || app.nodes[0].handles.delivery.notices.missing();
    let none = |missing: &Vec<_>| missing.is_empty();
    eventually("they are back", Duration::from_secs(5), missing, none).await;
    let took = woken(&app, &ann, &ben, &chat).await;
    assert!(took < IMMEDIATE, "{took:?}");
    app.finish().await;
}

/// Redis is away when a wait begins and back while it sleeps: the failed subscription is retried.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn failed_subscription_is_retried_while_the_wait_sleeps() {
    let (app, second, ann, ben, chat) = two_nodes().await;
    let (ann, node) = (ann.at(&second), &app.nodes[0].handles.delivery);
    // If only the sweep saves a round, the next round waits for a whole period of the sweep.
    for head in 1..=3 {
        unsubscribe_idle(node).await;
        app.redis.cut();
        let wait = parked(&app, &ben, head).await;
        let missing = async || node.notices.missing();
        eventually("it cannot", IMMEDIATE, missing, |all| !all.is_empty()).await;
        app.redis.heal();
        let soon = Duration::from_secs(5);
        eventually("it can", soon, missing, Vec::is_empty).await;
        let there = async || app.nodes[1].handles.delivery.redis.ping().await;
        eventually("the other node is back", soon, there, |up| *up).await;
        let sent = Instant::now();
        ann.send(&chat, "across").await;
        assert_eq!(wait.await.unwrap()["last_seq"], head + 1);
        assert!(sent.elapsed() < IMMEDIATE, "{:?}", sent.elapsed());
    }
    app.finish().await;
}

/// A wait begins while the idle subscription of its user is being ended. It subscribes and queries, the subscription ends, a
/// message is published to no one, and only then does the node notice the wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn message_published_during_unsubscribe_is_found() {
    let (app, second, ann, ben, chat) = two_nodes().await;
    let (ann, node) = (ann.at(&second), &app.nodes[0].handles.delivery);
    let user = UserId(ben.id.parse().unwrap());
    let channel = Channel::Inbox(user);
    let counted = async || {
        let total = unread::total(&node.redis, node.epoch, user).await;
        total.ok().flatten().map(|total| total.as_of.0)
    };
    ben.total().await;
    // If only the sweep saves a round, the next round waits for a whole period of the sweep.
    for head in 1..=3 {
        let wait = parked(&app, &ben, head).await;
        node.notices.unsubscribe(&[channel]).await;
        ann.send(&chat, "missed").await;
        // Counting and publishing is one step.
        let published = |as_of: &Option<i64>| *as_of == Some(head + 1);
        eventually("it is announced", IMMEDIATE, counted, published).await;
        let noticed = Instant::now();
        node.notices.mark_missing(&[channel]);
        assert_eq!(wait.await.unwrap()["last_seq"], head + 1);
        let took = noticed.elapsed();
        assert!(took < IMMEDIATE, "from {head}: {took:?}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn message_racing_with_a_wait_wakes_it() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    for n in 1..=150 {
        let send = async {
            // Spread over the moments in which a wait registers and queries.
            tokio::time::sleep(Duration::from_micros(40 * (n % 50))).await;
            ann.send(&chat, "race").await
        };
        let started = Instant::now();
        let (notice, _) = tokio::join!(ben.wait(n as i64, 20), send);
        assert_eq!(notice["last_seq"], n + 1);
        // Shorter than the period of the sweep, which would hide a missed wake-up.
        assert!(
            started.elapsed() < Duration::from_millis(2_500),
            "round {n}: {:?}",
            started.elapsed()
        );
    }
    app.finish().await;
}

/// A wait that watches a conversation.
fn watch(person: &Person, since: i64, chat: &str, seq: i64) -> tokio::task::JoinHandle<Value> {
    let path = format!("/notices?since_seq={since}&timeout=20&watch={chat}:{seq}");
    let person = person.clone();
    tokio::spawn(async move { person.get(&path).await.ok(200) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn watched_conversation_wakes_waits_on_every_node() {
    let mut app = App::configured(|config| config.fanout_limit = 2).await;
    app.add_node().await;
    let [ann, ben, cat] = app.people(["ann", "ben", "cat"]).await;
    let chat = ann.group(&[&ben, &cat]).await;
    let cat = cat.at(&format!("http://{}", app.nodes[1].address));
    let (ben_head, cat_head) = (ben.head().await, cat.head().await);
    for seq in 0..3 {
        let waits = [
            watch(&ben, ben_head, &chat, seq),
            watch(&cat, cat_head, &chat, seq),
        ];
        app.asleep(0, 1).await;
        app.asleep(1, 1).await;
        let sent = Instant::now();
        ann.send(&chat, "news").await;
        for wait in waits {
            let notice = wait.await.unwrap();
            assert_eq!(notice["news"], false);
            assert_eq!(
                notice["watched"],
                json!([{"conversation_id": chat, "last_seq": seq + 1, "change_seq": 0,
                    "reads_moved": false}])
            );
            assert_eq!(notice["total_unread"], seq + 1);
        }
        assert!(sent.elapsed() < IMMEDIATE, "{:?}", sent.elapsed());
    }
    // News from before the wait is returned immediately, and inbox news still wakes the wait.
    let notice = watch(&ben, ben_head, &chat, 2).await.unwrap();
    assert_eq!(notice["watched"][0]["last_seq"], 3);
    let wait = watch(&ben, ben_head, &chat, 3);
    app.asleep(0, 1).await;
    ben.read(&chat, 3).await;
    let notice = wait.await.unwrap();
    assert_eq!(
        (&notice["news"], &notice["watched"]),
        (&json!(true), &json!([]))
    );
    app.finish().await;
}
