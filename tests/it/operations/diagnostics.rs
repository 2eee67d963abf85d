//! The diagnostic long-poll, which shows time-outs between a client and the server.

use crate::support::{App, Person, eventually};
use serde_json::Value;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tideline::config::RateLimit;

const SOON: Duration = Duration::from_secs(5);

async fn waiting(app: &App, count: u32) {
    let diagnostics = &app.nodes[0].handles.lifecycle.diagnostics;
    let now = async || diagnostics.count();
    eventually("so many wait", SOON, now, |n| *n == count).await;
}

/// A wait on its own connection, which ends when it is dropped.
fn connect(app: &App, person: &Person, timeout: u64) -> TcpStream {
    let mut client = TcpStream::connect(app.nodes[0].address).unwrap();
    let request = format!(
        "GET /v1/diagnostics/longpoll?timeout={timeout} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        person.token
    );
    client.write_all(request.as_bytes()).unwrap();
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn diagnostic_wait_lasts_as_long_as_requested() {
    let app = App::configured(|config| {
        config.rate_limit = Some(RateLimit {
            per_second: 1,
            burst: 20,
        });
    })
    .await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let started = Instant::now();
    let (answer, _) = tokio::join!(
        ben.get("/diagnostics/longpoll?timeout=2"),
        // It ends no wait for news, and no news ends it.
        ann.send(&chat, "hi"),
    );
    assert!(
        (2.0..4.0).contains(&started.elapsed().as_secs_f64()),
        "{:?}",
        started.elapsed()
    );
    // It costs one request of the user.
    assert!(
        answer.header("ratelimit").starts_with("\"user\";r="),
        "{:?}",
        answer.headers
    );
    let diagnosis = answer.ok(200);
    assert_eq!(
        (&diagnosis["asked_ms"], &diagnosis["reconnect"]),
        (&2_000.into(), &false.into())
    );
    assert!(
        (2_000..4_000).contains(&diagnosis["waited_ms"].as_u64().unwrap()),
        "{diagnosis}"
    );
    let probe = ben.get("/diagnostics/longpoll?timeout=0").await.ok(200);
    assert_eq!(probe["asked_ms"], 0);
    for bad in ["timeout=56", "timeout=-1", "timeout=x", "since_seq=0"] {
        let answer = ben.get(&format!("/diagnostics/longpoll?{bad}")).await;
        answer.problem(400, "validation");
    }
    let stranger = app.call("GET", "/v1/diagnostics/longpoll", None).await;
    stranger.problem(401, "unauthenticated");
    waiting(&app, 0).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn user_has_two_diagnostic_slots_freed_on_disconnect() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let first = connect(&app, &ann, 55);
    let half = connect(&app, &ann, 55);
    waiting(&app, 2).await;
    let phone = ann.another_device(&app).await;
    let refused = phone.get("/diagnostics/longpoll?timeout=1").await;
    assert_eq!(refused.header("retry-after"), "5");
    assert!(
        refused
            .header("ratelimit")
            .starts_with("\"diagnostics\";r=0")
    );
    refused.problem(429, "rate_limited");
    // Other users have slots of their own.
    let other = connect(&app, &ben, 55);
    waiting(&app, 3).await;
    drop(first);
    waiting(&app, 2).await;
    phone.get("/diagnostics/longpoll?timeout=0").await.ok(200);
    half.shutdown(std::net::Shutdown::Write).unwrap();
    drop(other);
    waiting(&app, 0).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_node_ends_diagnostic_wait_with_reconnect() {
    let (mut app, [ann]) = App::with(["ann"]).await;
    let wait = tokio::spawn({
        let ann = ann.clone();
        async move { ann.get("/diagnostics/longpoll?timeout=55").await }
    });
    waiting(&app, 1).await;
    let stopping = tokio::spawn(app.nodes.remove(0).stop());
    let answer = wait.await.unwrap();
    assert_eq!(answer.header("connection"), "close");
    let diagnosis: Value = answer.ok(200);
    assert_eq!(diagnosis["reconnect"], true);
    assert!(
        diagnosis["waited_ms"].as_u64().unwrap() < 10_000,
        "{diagnosis}"
    );
    stopping.await.unwrap().unwrap();
    app.add_node().await;
    app.finish().await;
}
