//! Several nodes on one database and one Redis.

use crate::support::{App, Person, eventually, number};
use futures_util::future::join_all;
use serde_json::json;
use std::time::{Duration, Instant};
use tideline::config::Secret;
use tideline::domain::notices::unsubscribe_idle;
use tideline::model::ids::UserId;
use tideline::server::Node;

/// Less than the period of the sweep, which would hide a notice that was lost.
const AT_ONCE: Duration = Duration::from_millis(1_500);

async fn two_nodes() -> (App, String, Person, Person, String) {
    let (mut app, [ann, ben]) = App::with(["ann", "ben"]).await;
    app.add_node().await;
    let second = format!("http://{}", app.nodes[1].address);
    let chat = ann.direct(&ben).await;
    (app, second, ann, ben, chat)
}

/// Ben waits on the first node, Ann sends through the second.
async fn woken(app: &App, ann: &Person, ben: &Person, chat: &str) -> Duration {
    let head = ben.head().await;
    let wait = tokio::spawn({
        let ben = ben.clone();
        async move { ben.wait(head, 20).await }
    });
    let parked = async || app.nodes[0].app.waiters.count();
    eventually("it parks", Duration::from_secs(5), parked, |count| {
        *count == 1
    })
    .await;
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
async fn a_send_on_one_node_wakes_a_wait_on_another_at_once() {
    let (app, second, ann, ben, chat) = two_nodes().await;
    let ann = ann.at(&second);
    for round in 0..10 {
        // With a hash that knows the total, and without one.
        if round % 3 == 0 {
            app.flush_redis().await;
        }
        let took = woken(&app, &ann, &ben, &chat).await;
        assert!(took < AT_ONCE, "round {round}: {took:?}");
    }
    app.finish().await;
}

/// Register, then look, then sleep: the look is answered as of before the send, and the send is told of before the sleep.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_message_between_the_look_and_the_sleep_is_not_slept_through() {
    let (mut app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    // The second node speaks to PostgreSQL past the proxy that will hold the first one's look.
    let mut config = app.config.clone();
    config.database_url = Secret(app.database_url());
    app.nodes.push(Node::start(config).await.unwrap());
    let ann = ann.at(&format!("http://{}", app.nodes[1].address));
    let mut conn = app.database();
    // A round that only the sweep has saved ends with the sweep, and the next one then waits a whole period for it.
    for round in 1..=3 {
        let began = number(
            &mut conn,
            "SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::bigint AS n",
        );
        let looks = format!(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle'
             AND query LIKE 'SELECT user_id, last_seq FROM timelines%'
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
            healed.elapsed() < AT_ONCE,
            "round {round}: {:?}",
            healed.elapsed()
        );
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn subscriptions_come_back_after_a_loss_and_what_was_missed_is_looked_for() {
    let (app, second, ann, ben, chat) = two_nodes().await;
    let ann = ann.at(&second);
    let wait = tokio::spawn({
        let ben = ben.clone();
        async move { ben.wait(1, 30).await }
    });
    let parked = async || app.nodes[0].app.waiters.count();
    eventually("it parks", Duration::from_secs(5), parked, |count| {
        *count == 1
    })
    .await;
    app.redis.cut();
    ann.send(&chat, "nobody hears this").await;
    app.redis.heal();
    let healed = Instant::now();
    assert_eq!(wait.await.unwrap()["last_seq"], 2);
    assert!(
        healed.elapsed() < Duration::from_secs(5),
        "{:?}",
        healed.elapsed()
    );
    let redis = &app.nodes[0].app.notices;
    eventually(
        "Redis is back",
        Duration::from_secs(5),
        async || redis.ping().await,
        |back| *back,
    )
    .await;
    let took = woken(&app, &ann, &ben, &chat).await;
    assert!(took < AT_ONCE, "{took:?}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_end_with_the_waits_but_not_those_that_are_needed() {
    let (app, _, ann, ben, chat) = two_nodes().await;
    let node = &app.nodes[0].app;
    ann.wait(1, 1).await;
    let wait = tokio::spawn({
        let ben = ben.clone();
        async move { ben.wait(1, 20).await }
    });
    let parked = async || node.waiters.count();
    eventually("it parks", Duration::from_secs(5), parked, |count| {
        *count == 1
    })
    .await;
    assert_eq!(node.notices.users().len(), 2);
    unsubscribe_idle(node).await;
    let ben_id = UserId(ben.id.parse().unwrap());
    assert_eq!(node.notices.users(), [ben_id]);
    ann.send(&chat, "x").await;
    wait.await.unwrap();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn announcements_of_two_nodes_out_of_order_leave_exact_counts() {
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
