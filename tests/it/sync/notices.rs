//! Waits: woken immediately, with correct answers, and freed when they end.

use crate::support::{App, Person, eventually, id};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tideline::engine::lifecycle::Lifecycle;

/// Starts a wait and returns once it is parked.
async fn parked(
    app: &App,
    person: &Person,
    since: i64,
    timeout: u64,
) -> tokio::task::JoinHandle<Value> {
    let before = app.nodes[0].handles.delivery.waiters.asleep();
    let person = person.clone();
    let wait = tokio::spawn(async move { person.wait(since, timeout).await });
    app.asleep(0, before + 1).await;
    wait
}

#[tokio::test(flavor = "multi_thread")]
async fn send_wakes_a_parked_wait_with_the_unread_total() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    for n in 1..=5 {
        let wait = parked(&app, &ben, n, 25).await;
        let sent = Instant::now();
        ann.send(&chat, "wake up").await;
        let notice = wait.await.unwrap();
        assert!(
            sent.elapsed() < Duration::from_secs(2),
            "{:?}",
            sent.elapsed()
        );
        let epoch = app.nodes[0].handles.delivery.epoch.to_string();
        assert_eq!(
            notice,
            json!({"news": true, "last_seq": n + 1, "total_unread": n, "epoch": epoch, "watched": [],
            "reconnect": false, "superseded": false, "retry_after_ms": null})
        );
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn past_news_probe_and_timeout_return_correct_notices() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    ann.send(&chat, "hi").await;
    let started = Instant::now();
    let notice = ben.wait(0, 30).await;
    assert_eq!(
        (
            &notice["news"],
            &notice["last_seq"],
            &notice["total_unread"]
        ),
        (&json!(true), &json!(2), &json!(1))
    );
    let probe = ben.wait(2, 0).await;
    assert_eq!(
        (&probe["news"], &probe["last_seq"], &probe["total_unread"]),
        (&json!(false), &json!(2), &json!(1))
    );
    assert!(started.elapsed() < Duration::from_secs(2));
    let started = Instant::now();
    let nothing = ben.wait(2, 1).await;
    assert_eq!(
        (&nothing["news"], &nothing["last_seq"]),
        (&json!(false), &json!(2))
    );
    assert!(
        (1.0..3.0).contains(&started.elapsed().as_secs_f64()),
        "{:?}",
        started.elapsed()
    );
    for bad in [
        "",
        "?since_seq=0&timeout=56",
        "?since_seq=0&timeout=-1",
        "?since_seq=-1",
        "?since_seq=0&timeout=x",
    ] {
        ben.get(&format!("/notices{bad}"))
            .await
            .problem(400, "validation");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_wait_supersedes_the_older_wait_of_its_device() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let older = parked(&app, &ben, 1, 25).await;
    let other_device = ben.another_device(&app).await;
    let elsewhere = parked(&app, &other_device, 1, 25).await;
    // A probe does not supersede.
    ben.wait(1, 0).await;
    assert_eq!(app.nodes[0].handles.delivery.waiters.count(), 2);
    let newer = tokio::spawn({
        let ben = ben.clone();
        async move { ben.wait(1, 25).await }
    });
    let notice = older.await.unwrap();
    assert_eq!(
        (&notice["superseded"], &notice["news"]),
        (&json!(true), &json!(false))
    );
    ann.send(&chat, "for both devices").await;
    for wait in [newer, elsewhere] {
        let notice = wait.await.unwrap();
        assert_eq!(
            (&notice["superseded"], &notice["news"]),
            (&json!(false), &json!(true))
        );
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_wait_supersedes_nothing() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let good = parked(&app, &ben, 1, 25).await;
    let ahead = ben.get("/notices?since_seq=9&timeout=25").await;
    ahead.problem(409, "cursor_ahead");
    let other = ben
        .get(&format!("/notices?since_seq=1&epoch={}", id()))
        .await;
    other.problem(409, "epoch_changed");
    let foreign = format!("/notices?since_seq=1&watch={}:0", id());
    ben.get(&foreign).await.problem(404, "not_found");
    assert_eq!(app.nodes[0].handles.delivery.waiters.asleep(), 1);
    ann.send(&chat, "news").await;
    let notice = good.await.unwrap();
    assert_eq!(
        (&notice["superseded"], &notice["news"]),
        (&json!(false), &json!(true))
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_ends_when_its_access_token_expires() {
    let app = App::configured(|config| config.access_token = Duration::from_secs(2)).await;
    let [ben] = app.people(["ben"]).await;
    let started = Instant::now();
    let notice = ben.wait(0, 30).await;
    assert_eq!(notice["news"], false);
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "{:?}",
        started.elapsed()
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_notice_delays_a_wait_by_at_most_5_s() {
    let (mut app, [ann, ben]) = App::with(["ann", "ben"]).await;
    app.add_node().await;
    let chat = ann.direct(&ben).await;
    let wait = parked(&app, &ben, 1, 30).await;
    // Another node stores it and cannot publish: only the sweep can find it.
    let elsewhere = ann.at(&format!("http://{}", app.nodes[1].address));
    app.redis.cut();
    let sent = Instant::now();
    elsewhere.send(&chat, "nobody tells you").await;
    let notice = wait.await.unwrap();
    assert!(
        sent.elapsed() < Duration::from_secs(5),
        "{:?}",
        sent.elapsed()
    );
    assert_eq!(
        (
            &notice["news"],
            &notice["last_seq"],
            &notice["total_unread"]
        ),
        (&json!(true), &json!(2), &json!(1))
    );
    app.redis.heal();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disconnect_frees_the_wait() {
    let (app, [ben]) = App::with(["ben"]).await;
    let waiters = &app.nodes[0].handles.delivery.waiters;
    let request = format!(
        "GET /v1/notices?since_seq=0&timeout=55 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        ben.token
    );
    let mut clients: Vec<TcpStream> = Vec::new();
    // Each on its own device, or they would supersede one another.
    for _ in 0..5 {
        let device = ben.another_device(&app).await;
        let mut client = TcpStream::connect(app.nodes[0].address).unwrap();
        client
            .write_all(request.replace(&ben.token, &device.token).as_bytes())
            .unwrap();
        clients.push(client);
    }
    eventually(
        "all park",
        Duration::from_secs(5),
        async || waiters.count(),
        |n| *n == 5,
    )
    .await;
    // A client that half-closes and keeps reading gets nothing, and must not leak its wait.
    let mut half = clients.pop().unwrap();
    half.shutdown(std::net::Shutdown::Write).unwrap();
    drop(clients);
    eventually(
        "all are freed",
        Duration::from_secs(2),
        async || waiters.count(),
        |n| *n == 0,
    )
    .await;
    let mut rest = Vec::new();
    half.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_node_ends_waits_with_reconnect_and_keeps_serving() {
    let (mut app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let wait = parked(&app, &ben, 1, 30).await;
    let node = app.nodes.remove(0);
    // Weak, since a node waits for all holders until its drain time is over.
    let lifecycle = Arc::downgrade(&node.handles.lifecycle);
    let stopping = tokio::spawn(node.stop());
    let notice = wait.await.unwrap();
    assert_eq!(
        (&notice["reconnect"], &notice["news"]),
        (&json!(true), &json!(false))
    );
    assert!(
        (1..=2_000).contains(&notice["retry_after_ms"].as_i64().unwrap()),
        "{notice}"
    );
    let drains = |lifecycle: Arc<Lifecycle>| lifecycle.is_draining();
    assert!(lifecycle.upgrade().is_none_or(drains));
    stopping.await.unwrap().unwrap();
    app.add_node().await;
    ann.at(&app.url()).send(&chat, "after the restart").await;
    assert_eq!(ben.at(&app.url()).wait(1, 20).await["last_seq"], 2);
    app.finish().await;
}
