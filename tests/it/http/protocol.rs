//! HTTP itself, as used by other clients and proxies.

use crate::http::hostile::raw::{Head, exchange};
use crate::support::{Answer, App, Wire, id, text};
use serde_json::json;
use std::time::{Duration, Instant};
use tideline::config::origins::Origins;

/// The upgrade offer that the HTTP client of Java sends with every request.
const JAVA: &str = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
    HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn protocol_upgrade_offers_are_ignored() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let mut wire = Wire::to(app.nodes[0].address).await;
    let started = Instant::now();
    // One connection for all requests. The same words within a message are plain text.
    for offer in [JAVA, websocket, JAVA] {
        let body =
            json!({"client_msg_id": id(), "kind": "text", "content": {"text": JAVA}}).to_string();
        let (token, length) = (&ann.token, body.len());
        wire.write(&format!(
            "POST /v1/conversations/{chat}/messages HTTP/1.1\r\nHost: x\r\n{offer}\
             Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await;
        let answer = wire.answer().await;
        assert_eq!(
            (answer.header("connection"), answer.header("upgrade")),
            ("", "")
        );
        assert_eq!(answer.ok(201)["content"]["text"], JAVA);
        wire.write(&format!(
            "GET /v1/me HTTP/1.1\r\nHost: x\r\n{offer}Authorization: Bearer {token}\r\n\r\n"
        ))
        .await;
        let answer = wire.answer().await;
        assert_eq!(
            (answer.header("connection"), answer.header("upgrade")),
            ("", "")
        );
        answer.ok(200);
    }
    // The time-out of a body, which `websocket` made endless, is 10 seconds.
    assert!(started.elapsed() < Duration::from_secs(9));
    app.finish().await;
}

/// Every such client gets the reason, also in a browser.
#[tokio::test(flavor = "multi_thread")]
async fn unreadable_requests_get_a_problem_response() {
    const PAGE: &str = "https://app.example";
    let app = App::configured(|config| {
        config.cors_origins = Origins::parse("https://other.example,https://app.example").unwrap();
    })
    .await;
    let [ann] = app.people(["ann"]).await;
    let get = || {
        Head::get(&ann, "/v1/me")
            .with(format!("Origin: {PAGE}"))
            .with("X-Request-Id: the-request")
    };
    let cookie = |length| format!("Cookie: {}", "x".repeat(length));
    for (what, head, status, code) in [
        ("no host", get().without("Host"), 400, "validation"),
        ("two hosts", get().with("Host: y"), 400, "validation"),
        ("a bad header", get().with("X Space: 1"), 400, "validation"),
        (
            "a bad length",
            get().with("Content-Length: x"),
            400,
            "validation",
        ),
        (
            "a large cookie",
            get().with(cookie(400_000)),
            431,
            "head_too_large",
        ),
        (
            "a huge cookie",
            get().with(cookie(1_000_000)),
            431,
            "head_too_large",
        ),
        (
            "many headers",
            (0..200).fold(get(), |head, n| head.with(format!("X-Flood-{n}: 1"))),
            431,
            "head_too_large",
        ),
    ] {
        // Also as the second request of a connection.
        for before in [false, true] {
            let mut wire = Wire::to(app.nodes[0].address).await;
            if before {
                let good = Head::get(&ann, "/v1/me").without("Connection");
                wire.write(&String::from_utf8(good.bytes()).unwrap()).await;
                wire.answer().await.ok(200);
            }
            wire.write(&String::from_utf8(head.bytes()).unwrap()).await;
            let answer = wire.answer().await;
            assert!(!wire.more().await, "{what}");
            assert_eq!(answer.header("connection"), "close", "{what}");
            assert_eq!(answer.header("x-request-id"), "the-request", "{what}");
            assert_eq!(answer.header("access-control-allow-origin"), PAGE, "{what}");
            assert_eq!(answer.header("vary"), "Origin", "{what}");
            assert_eq!(answer.header("cache-control"), "no-store", "{what}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{what}");
            answer.problem(status, code);
        }
    }
    let foreign = Head::get(&ann, "/v1/me")
        .without("Host")
        .with("Origin: https://evil.example");
    let answers = exchange(&app, foreign.bytes()).await;
    assert_eq!(answers[0].header("access-control-allow-origin"), "");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_asterisk_lists_all_methods() {
    let (app, [ann]) = App::with(["ann"]).await;
    let all = Head::get(&ann, "/").line("OPTIONS * HTTP/1.1");
    let answers = exchange(&app, all.bytes()).await;
    let [answer] = &answers[..] else {
        panic!("{answers:?}")
    };
    assert_eq!(
        (answer.status, answer.header("allow")),
        (204, "GET, HEAD, POST, PUT, PATCH, DELETE")
    );
    app.finish().await;
}

/// Uptime monitors use HEAD.
#[tokio::test(flavor = "multi_thread")]
async fn head_is_supported_wherever_get_is() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    ann.send(&chat, "hi").await;
    let conversation = format!("/v1/conversations/{chat}");
    let stays = reqwest::redirect::Policy::none();
    let stays = reqwest::Client::builder().redirect(stays).build().unwrap();
    let ask = async |method: &str, path: &str| {
        let request = stays.request(method.parse().unwrap(), app.url() + path);
        Answer::of(request.bearer_auth(&ann.token).send().await.unwrap()).await
    };
    for path in [
        "/",
        "/app.js",
        "/docs",
        "/docs/",
        "/docs/problems",
        "/docs/problems.css",
        "/docs/swagger-ui.css",
        "/openapi.json",
        "/health/live",
        "/health/ready",
        "/v1/capabilities",
        "/v1/me",
        "/v1/me/devices",
        "/v1/me/blocks",
        "/v1/users?username=ann",
        "/v1/users/search?prefix=ann",
        "/v1/search/messages?q=ann",
        "/v1/conversations",
        &conversation,
        &format!("{conversation}/members"),
        &format!("{conversation}/messages"),
        &format!("{conversation}/messages/1"),
        "/v1/inbox?since_seq=0",
        "/v1/unread",
        "/v1/me?nonsense=1",
        "/v1/nothing",
    ] {
        let (get, head) = (ask("GET", path).await, ask("HEAD", path).await);
        assert_eq!(head.status, get.status, "{path}");
        for name in [
            "content-type",
            "content-length",
            "etag",
            "content-security-policy",
        ] {
            // Request ids all have the same length.
            assert_eq!(head.header(name), get.header(name), "{path}: {name}");
        }
        assert!(head.body.is_null(), "{path}");
        assert!(
            path.contains("nothing") || path.contains("nonsense") || head.status < 400,
            "{path}"
        );
    }
    for (path, allow) in [
        ("/v1/notices?since_seq=0", "GET"),
        ("/v1/diagnostics/longpoll", "GET"),
        ("/v1/auth/login", "POST"),
    ] {
        let head = ask("HEAD", path).await;
        assert_eq!((head.status, head.header("allow")), (405, allow), "{path}");
    }
    let other = ask("OPTIONS", "/v1/me").await;
    assert_eq!(other.header("allow"), "GET, HEAD, PATCH, DELETE");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_bodies_are_rejected() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let path = format!("/v1/conversations/{chat}/messages");
    let body = || Head::post(&ann, &path, text("x"));
    for coding in [
        "gzip",
        "br",
        "invented",
        "identity, gzip",
        "gzip\r\nContent-Encoding: identity",
    ] {
        let answers = exchange(
            &app,
            body().with(format!("Content-Encoding: {coding}")).bytes(),
        )
        .await;
        let answer = answers[0].clone();
        assert_eq!(answer.header("accept-encoding"), "identity", "{coding}");
        let problem = answer.problem(415, "unsupported_media_type");
        assert!(
            problem["detail"].as_str().unwrap().contains("compressed"),
            "{problem}"
        );
    }
    let plain = exchange(&app, body().with("Content-Encoding: Identity").bytes()).await;
    assert_eq!(plain[0].status, 201);
    // Some tools write a byte order mark before JSON. One is skipped.
    let marked = |marks: &str| marks.to_owned() + &text("x").to_string();
    let sends = format!("/conversations/{chat}/messages");
    ann.send_bytes("POST", &sends, marked("\u{feff}"))
        .await
        .ok(201);
    let twice = ann
        .send_bytes("POST", &sends, marked("\u{feff}\u{feff}"))
        .await;
    twice.problem(400, "validation");
    app.finish().await;
}

/// The policy is the same for any percent-encoding of a path.
#[tokio::test(flavor = "multi_thread")]
async fn response_policy_depends_on_the_decoded_path() {
    let (app, [ann]) = App::with(["ann"]).await;
    for path in [
        "/v1/me",
        "/v%31/me",
        "/%76%31/%6d%65",
        "/v%31/nothing",
        "/health/live",
    ] {
        let answers = exchange(&app, Head::get(&ann, path).bytes()).await;
        let answer = &answers[0];
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        let policy = answer.header("content-security-policy");
        assert_eq!(
            policy, "default-src 'none'; frame-ancestors 'none'",
            "{path}"
        );
    }
    for (path, coded) in [
        ("/docs/problems", "/d%6fcs/problems"),
        ("/icon.svg", "/icon%2Esvg"),
    ] {
        let policy = async |path: &str| {
            let answer = app.call("GET", path, None).await;
            assert_eq!(answer.status, 200, "{path}");
            answer.header("content-security-policy").to_owned()
        };
        assert_eq!(policy(path).await, policy(coded).await);
    }
    app.finish().await;
}
