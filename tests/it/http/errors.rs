//! Every problem code is returned over HTTP as documented, and rules that hold for every response.

use crate::support::token::{claims, forge, header, with};
use crate::support::{Answer, App, Person, SECRET, eventually, execute, id, text};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use tideline::clock::unix_seconds;
use tideline::engine::writer::commands::mark_read::MarkRead;
use tideline::http::kit::problem::Code;
use tideline::http::openapi;
use tideline::model::ids::{ConvSeq, ConversationId, UserId};
use uuid::Uuid;

/// Codes that other files cover, each with its test.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "forbidden",
        "messaging::members::role_permissions_match_the_contract",
    ),
    ("muted", "messaging::members::muted_members_cannot_send"),
    (
        "blocked",
        "people::blocks::block_stops_only_direct_sends_in_both_directions",
    ),
    (
        "not_accepted",
        "people::account_end::deactivated_account_accepts_nothing_new",
    ),
    (
        "presence_cursor_invalid",
        "people::presence::bad_ids_and_cursors_are_refused",
    ),
    (
        "user_deactivated",
        "people::account_end::login_does_not_end_a_deactivation_by_the_operator",
    ),
    (
        "head_too_large",
        "http::parking::wait_with_an_oversized_head_is_rejected",
    ),
    (
        "rate_limited",
        "engine::limits::user_limit_allows_a_burst_and_then_a_rate",
    ),
    ("limit_reached", "messaging::members::group_size_is_limited"),
    (
        "client_conversation_id_reused",
        "messaging::conversations::client_conversation_id_identifies_one_request",
    ),
    (
        "media_disabled",
        "media::quotas::server_without_a_store_says_so",
    ),
    (
        "search_disabled",
        "search::words::without_search_a_node_says_so",
    ),
    (
        "media_not_ready",
        "media::access::message_names_media_of_its_kind_that_are_ready",
    ),
    (
        "message_gone",
        "messaging::changes::recalled_message_is_a_stub_everywhere",
    ),
    (
        "version_conflict",
        "messaging::changes::edit_replaces_the_content_once",
    ),
    ("window_closed", "messaging::changes::who_may_recall_what"),
    (
        "slow_mode",
        "messaging::rules::slow_mode_spaces_the_messages_of_a_member",
    ),
];

/// The codes seen so far.
#[derive(Default)]
struct Seen(BTreeSet<&'static str>);

impl Seen {
    /// Asserts a problem and its status, as the contract has it.
    #[track_caller]
    fn see(&mut self, answer: Answer, status: u16, code: &'static str) -> Value {
        self.0.insert(code);
        answer.problem(status, code)
    }
}

/// Writes raw bytes and reads the response. It does not read to the end of the connection, which lingers for some seconds after
/// a rejected body.
async fn raw(address: SocketAddr, pieces: Vec<Vec<u8>>) -> Answer {
    let exchange = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).unwrap();
        for piece in pieces {
            stream.write_all(&piece).unwrap();
        }
        let mut answer = BufReader::new(stream);
        let mut line = String::new();
        answer.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = HeaderMap::new();
        loop {
            line.clear();
            answer.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            let name: HeaderName = name.parse().unwrap();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        let length: usize = headers["content-length"].to_str().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        answer.read_exact(&mut body).unwrap();
        Answer {
            status,
            headers,
            body: serde_json::from_slice(&body).unwrap(),
        }
    };
    tokio::task::spawn_blocking(exchange).await.unwrap()
}

/// The beginning of a request with a JSON body.
fn begin(ann: &Person, path: &str, length: &str) -> Vec<u8> {
    format!(
        "POST /v1{path} HTTP/1.1\r\nHost: tideline\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {}\r\n{length}\r\n\r\n",
        ann.token
    )
    .into_bytes()
}

/// Sends a raw body.
async fn send_text(
    person: &Person,
    method: &str,
    path: &str,
    kind: &str,
    body: impl Into<reqwest::Body>,
) -> Answer {
    let url = format!("{}/v1{path}", person.url);
    let request = person.http.request(method.parse().unwrap(), url);
    let request = request
        .bearer_auth(&person.token)
        .header("content-type", kind);
    Answer::of(request.body(body).send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_code_is_returned_as_documented() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let sends = format!("/conversations/{chat}/messages");
    let address = app.nodes[0].address;
    let mut seen = Seen::default();

    // Half a body, and then nothing. This takes ten seconds, and the other cases run meanwhile.
    let slow = begin(&ann, &sends, "Content-Length: 100");
    let slow = tokio::spawn(async move {
        let started = Instant::now();
        (
            raw(address, vec![slow, b"{\"kind\":".to_vec()]).await,
            started.elapsed(),
        )
    });

    sync_positions(&app, &ann, &mut seen).await;
    requests(&app, &ann, &chat, &mut seen).await;
    sessions(&app, &ann, &mut seen).await;
    failures(&app, &ann, &chat, &mut seen).await;

    let (slow, took) = slow.await.unwrap();
    assert_eq!(slow.header("connection"), "close");
    seen.see(slow, 408, "request_timeout");
    assert!((9..13).contains(&took.as_secs()), "{took:?}");

    let all: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let elsewhere: BTreeSet<_> = ELSEWHERE.iter().map(|(code, _)| *code).collect();
    let both: Vec<_> = elsewhere.intersection(&seen.0).collect();
    assert!(both.is_empty(), "{both:?} need not be listed");
    let provoked: BTreeSet<_> = seen.0.union(&elsewhere).copied().collect();
    assert_eq!(provoked, all, "each code needs a test");
    app.finish().await;
}

/// Requests that are invalid by themselves.
async fn requests(app: &App, ann: &Person, chat: &str, seen: &mut Seen) {
    let sends = format!("/conversations/{chat}/messages");
    let address = app.nodes[0].address;

    let mut empty = text("");
    let refused = ann.post_message(chat, empty.clone()).await;
    let refused = seen.see(refused, 400, "validation");
    assert_eq!(refused["errors"][0]["pointer"], "/content/text");
    empty["content"]["text"] = json!("once");
    ann.post_message(chat, empty.clone()).await.ok(201);
    empty["content"]["text"] = json!("twice");
    let reused = ann.post_message(chat, empty).await;
    seen.see(reused, 422, "client_msg_id_reused");

    for path in [
        "/v1/nothing",
        "/nothing",
        "/v1",
        "/v1/me/",
        "/v1//me",
        "/docs/nothing",
    ] {
        seen.see(app.call("GET", path, None).await, 404, "not_found");
    }
    for path in [id(), "x".to_owned(), "%00".to_owned(), "%ff".to_owned()] {
        let nowhere = ann.get(&format!("/conversations/{path}")).await;
        seen.see(nowhere, 404, "not_found");
    }
    for (method, path, allow) in [
        ("DELETE", "/unread", "GET, HEAD"),
        ("POST", "/me", "DELETE, GET, HEAD, PATCH"),
        ("HEAD", "/auth/login", "POST"),
    ] {
        let answer = ann.try_call(method, path, None).await.unwrap();
        let mut allowed: Vec<_> = answer.header("allow").split(", ").collect();
        allowed.sort_unstable();
        assert_eq!(allowed.join(", "), allow);
        if method == "HEAD" {
            assert_eq!(answer.status, 405);
        } else {
            seen.see(answer, 405, "method_not_allowed");
        }
    }

    let message = text("x").to_string();
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "",
    ] {
        let answer = send_text(ann, "POST", &sends, kind, message.clone()).await;
        seen.see(answer, 415, "unsupported_media_type");
    }
    let with_charset = "application/json; charset=utf-8";
    let answer = send_text(ann, "POST", &sends, with_charset, message).await;
    answer.ok(201);

    let declared = begin(ann, &sends, "Content-Length: 1048577");
    let declared = raw(address, vec![declared]).await;
    seen.see(declared, 413, "payload_too_large");
    let chunk = |bytes: usize| {
        let mut chunk = format!("{bytes:x}\r\n").into_bytes();
        chunk.resize(chunk.len() + bytes, b' ');
        chunk.extend(b"\r\n");
        chunk
    };
    // Endless chunks: rejected at the first byte over the limit.
    let mut pieces = vec![begin(ann, &sends, "Transfer-Encoding: chunked")];
    pieces.extend((0..16).map(|_| chunk(64 * 1024)));
    pieces.push(chunk(1));
    let chunked = raw(address, pieces).await;
    assert_eq!(chunked.header("connection"), "close");
    seen.see(chunked, 413, "payload_too_large");
    // A body of exactly the limit is accepted.
    let mut largest = text("x").to_string();
    largest.extend(std::iter::repeat_n(' ', 1024 * 1024 - largest.len()));
    send_text(ann, "POST", &sends, "application/json", largest)
        .await
        .ok(201);
}

/// Authentication.
async fn sessions(app: &App, ann: &Person, seen: &mut Seen) {
    let anonymous = app.call("GET", "/v1/me", None).await;
    assert_eq!(
        anonymous.header("www-authenticate"),
        r#"Bearer realm="tideline""#
    );
    seen.see(anonymous, 401, "unauthenticated");
    let ended = with(&claims(&ann.token), "exp", Some(json!(unix_seconds() - 10)));
    let late = Person {
        token: forge(&header(), &ended, SECRET),
        ..ann.clone()
    };
    seen.see(late.get("/me").await, 401, "token_expired");
    let gone = ann.another_device(app).await;
    gone.post("/auth/logout", Value::Null).await.ok(204);
    seen.see(gone.get("/me").await, 401, "device_revoked");
    let call = async |path: &str, body: Value| app.call("POST", path, Some(body)).await;
    let refreshed = call("/v1/auth/refresh", json!({"refresh_token": "x"})).await;
    seen.see(refreshed, 401, "refresh_invalid");
    let wrong = json!({"username": "ann", "password": "wrong"});
    let wrong = call("/v1/auth/login", wrong).await;
    seen.see(wrong, 401, "invalid_credentials");
    let taken = json!({"username": "ann", "password": "long enough"});
    let taken = call("/v1/auth/register", taken).await;
    seen.see(taken, 409, "conflict");
}

/// Invalid positions. The refusal has everything that a client needs for a resync.
async fn sync_positions(app: &App, ann: &Person, seen: &mut Seen) {
    let chat = ann.get("/conversations").await.ok(200)["conversations"][0]["id"].clone();
    let chat = chat.as_str().unwrap();
    for words in ["one", "two"] {
        ann.send(chat, words).await;
    }
    // The entry of the conversation's creation, which is the oldest, is past the retention.
    execute(
        &mut app.database(),
        "DELETE FROM inbox WHERE seq = 1 AND kind = 'conversation'",
    );
    let epoch = app.nodes[0].handles.delivery.epoch.to_string();
    let is_resync = |problem: &Value| {
        let fields = ["epoch", "first_seq", "last_seq", "resync"].map(|name| &problem[name]);
        let expected = [json!(epoch), json!(2), json!(3), json!("/v1/conversations")];
        assert!(fields.into_iter().eq(&expected), "{problem}");
    };
    for path in ["/inbox?", "/notices?timeout=0&"] {
        let ahead = ann.get(&format!("{path}since_seq=4")).await;
        is_resync(&seen.see(ahead, 409, "cursor_ahead"));
        // The epoch is checked first: a position of another epoch may also be ahead.
        for since in [0, 3, 4] {
            let other = ann
                .get(&format!("{path}since_seq={since}&epoch={}", id()))
                .await;
            is_resync(&seen.see(other, 409, "epoch_changed"));
        }
        ann.get(&format!("{path}since_seq=3&epoch={epoch}"))
            .await
            .ok(200);
    }
    let trimmed = ann.get("/inbox?since_seq=0").await;
    is_resync(&seen.see(trimmed, 410, "inbox_trimmed"));
    assert_eq!(ann.entries(1).await.len(), 2);
    // The fetch reports trimmed entries, the wait does not.
    assert_eq!(ann.wait(0, 0).await["news"], true);
}

/// Failures of the server.
async fn failures(app: &App, ann: &Person, chat: &str, seen: &mut Seen) {
    let mut conn = app.database();
    execute(&mut conn, "ALTER TABLE users RENAME COLUMN bio TO lost");
    let bug = seen.see(ann.get("/me").await, 500, "internal");
    assert!(!bug.to_string().contains("bio"), "{bug}");
    execute(&mut conn, "ALTER TABLE users RENAME COLUMN lost TO bio");
    ann.get("/me").await.ok(200);

    let healed = async |what| {
        let status = async || ann.get("/me").await.status;
        eventually(what, Duration::from_secs(10), status, |status| {
            *status == 200
        })
        .await;
    };
    let later = |answer: &Answer, least: u64| {
        assert_eq!(answer.header("retry-after"), "1");
        assert_eq!(answer.body["retry_after_ms"], least);
    };
    app.postgres.cut();
    for answer in [
        ann.get("/me").await,
        ann.post_message(chat, text("x")).await,
    ] {
        later(&answer, 1_000);
        seen.see(answer, 503, "storage_unavailable");
    }
    app.postgres.heal();
    healed("back after the cut").await;

    // The writer queue is full. The replies are kept, since commands without a receiver would be dropped.
    app.postgres.freeze();
    let conversation = ConversationId(Uuid::try_parse(chat).unwrap());
    let user = UserId(Uuid::try_parse(&ann.id).unwrap());
    let (writers, mut waiting) = (&app.nodes[0].handles.delivery.writers, Vec::new());
    let mut submit = || {
        assert!(waiting.len() < 20_000, "the queue has no end");
        let answer = writers.submit(conversation, user, MarkRead(ConvSeq(0)));
        let is_queued = answer.is_ok();
        waiting.extend(answer);
        is_queued
    };
    assert!(submit());
    // The writer takes this command and hangs, so the queue does not shrink again.
    let queued = async || writers.waiting().sum::<usize>();
    eventually("it is taken", Duration::from_secs(2), queued, |n| *n == 0).await;
    while submit() {}
    let crowded = ann.post_message(chat, text("x")).await;
    later(&crowded, 500);
    seen.see(crowded, 503, "overloaded");
    drop(waiting);
    app.postgres.heal();
    healed("back after the freeze").await;
    let stored = async || ann.post_message(chat, text("after")).await.status;
    eventually("sends are taken", Duration::from_secs(10), stored, |s| {
        *s == 201
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn valid_request_id_is_echoed_and_invalid_one_replaced() {
    let (app, [ann]) = App::with(["ann"]).await;
    let ask = async |path: &str, id: &[u8]| {
        let request = app.http.get(app.url() + path).bearer_auth(&ann.token);
        let request = request.header("x-request-id", HeaderValue::from_bytes(id).unwrap());
        Answer::of(request.send().await.unwrap()).await
    };
    let longest = "x".repeat(128);
    for path in [
        "/v1/me",
        "/v1/nothing",
        "/v1/auth/login",
        "/v1/me?x=1",
        "/docs",
        "/health/live",
    ] {
        for sane in ["a", "Trace_1.2-3", &longest] {
            let answer = ask(path, sane.as_bytes()).await;
            assert_eq!(answer.header("x-request-id"), sane, "{path}");
            if answer.header("content-type") == "application/problem+json" {
                assert_eq!(answer.body["request_id"], sane, "{path}");
            }
        }
        let too_long = "x".repeat(129);
        for other in ["", "a b", "a\"b", "<b>", "a;b", "ä", &too_long] {
            let answer = ask(path, other.as_bytes()).await;
            let made = answer.header("x-request-id");
            assert!(
                Uuid::try_parse(made).is_ok(),
                "{path}: {other:?} became {made:?}"
            );
        }
    }
    let made = async || ann.get("/me").await.header("x-request-id").to_owned();
    assert_ne!(made().await, made().await);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_query_parameters_are_rejected() {
    let (app, [ann]) = App::with(["ann"]).await;
    let document = serde_json::to_value(openapi::document()).unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let Some(path) = path.strip_prefix("/v1") else {
            continue;
        };
        let path = path.replace("{id}", &id()).replace("{seq}", "1");
        for method in operations.as_object().unwrap().keys() {
            let query = if path == "/users" {
                "username=ann&"
            } else {
                ""
            };
            let since = if ["/inbox", "/notices"].contains(&path.as_str()) {
                "since_seq=0&"
            } else {
                ""
            };
            let url = format!("{path}?{query}{since}unknown=1");
            let method = method.to_uppercase();
            let body = (method != "GET").then(|| json!({}));
            let answer = ann.try_call(&method, &url, body.as_ref()).await.unwrap();
            let problem = answer.problem(400, "validation");
            assert_eq!(
                problem["errors"][0]["pointer"], "unknown",
                "{method} {path}: {problem}"
            );
        }
    }
    ann.get("/me").await.ok(200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn v1_responses_are_not_cacheable() {
    let (app, [ann]) = App::with(["ann"]).await;
    for (method, path, status) in [
        ("GET", "/me", 200),
        ("GET", "/capabilities", 200),
        ("GET", "/inbox?since_seq=x", 400),
        ("GET", "/inbox?since_seq=9", 409),
        ("GET", "/nothing", 404),
        ("DELETE", "/me", 415),
        ("DELETE", "/unread", 405),
        ("POST", "/auth/login", 415),
        ("POST", "/auth/logout", 204),
        ("GET", "/me", 401),
    ] {
        let answer = ann.try_call(method, path, None).await.unwrap();
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert_eq!(
            answer.header("cache-control"),
            "no-store",
            "{method} {path}"
        );
    }
    app.finish().await;
}
