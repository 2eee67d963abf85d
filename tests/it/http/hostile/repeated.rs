//! Responses and log lines do not grow with the request that they repeat.

use crate::http::hostile::raw::{Head, exchange_with};
use crate::support::{App, Process, eventually, id, services, text};
use serde_json::{Value, json};
use std::time::Duration;

/// The most bytes of a request that a text repeats.
const REPEATED: usize = 256;

/// The longest log line: the time, the level, a method, a path and an id.
const LINE: usize = 1_024;

/// Asserts that every text of a problem is short.
#[track_caller]
fn is_short(what: &str, problem: &Value) {
    let faults = problem["errors"].as_array().into_iter().flatten();
    let texts = faults.flat_map(|fault| [&fault["pointer"], &fault["detail"]]);
    for text in texts.chain([&problem["detail"]]) {
        let length = text.as_str().unwrap().len();
        assert!(length <= REPEATED, "{what}: {length} bytes: {text:.300}");
    }
    let whole = problem.to_string().len();
    assert!(whole < 4 * LINE, "{what}: a problem of {whole} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_and_log_lines_are_bounded_for_long_requests() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let variables = [
        ("RUST_LOG", "debug"),
        ("TIDELINE_TRUSTED_PROXIES", "127.0.0.0/8"),
    ];
    let process = Process::serve(&app.database_url(), &services().redis_url(), &variables);
    let ann = ann.at(&process.url);
    let sends = format!("/conversations/{chat}/messages");
    let batch = format!("{sends}/batch");

    // A megabyte, of characters of one, two and four bytes.
    for long in [
        "x".repeat(1_040_000),
        "é".repeat(520_000),
        "👋".repeat(260_000),
    ] {
        let member = json!(long).to_string();
        let half: String = long.chars().take(long.chars().count() / 2).collect();
        let half = json!(half).to_string();
        let message = text("x").to_string();
        let begun = &message[..message.len() - 1];
        let content = |content: String| {
            json!({"client_msg_id": id(), "kind": "custom", "content": {}})
                .to_string()
                .replace("{}", &content)
        };
        for (what, path, body) in [
            ("an unknown field", &sends, format!("{begun},{member}:1}}")),
            (
                "a key twice",
                &sends,
                content(format!("{{{half}:1,{half}:2}}")),
            ),
            (
                "a kind",
                &sends,
                json!({"client_msg_id": id(), "kind": long, "content": {}}).to_string(),
            ),
            (
                "an id",
                &sends,
                json!({"client_msg_id": long, "kind": "text", "content": {"text": "x"}})
                    .to_string(),
            ),
            ("no object", &sends, member.clone()),
            (
                "an unknown field of a content",
                &sends,
                format!(
                    r#"{{"client_msg_id":"{}","kind":"text","content":{{"text":"x",{member}:1}}}}"#,
                    id()
                ),
            ),
            (
                "an unknown field in a batch",
                &batch,
                format!(r#"{{"messages":[{begun},{member}:1}}]}}"#),
            ),
            (
                "a name",
                &"/me".to_owned(),
                json!({"display_name": long}).to_string(),
            ),
        ] {
            let method = if path == "/me" { "PATCH" } else { "POST" };
            let answer = ann.send_bytes(method, path, body).await;
            is_short(what, &answer.problem(400, "validation"));
        }
    }

    let long = "x".repeat(63_000);
    let me = |head: &str| Head::get(&ann, "/v1/me").with(format!("{head}: {long}"));
    let address = process
        .url
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    for (what, head, status) in [
        ("a path", Head::get(&ann, &format!("/v1/{long}")), 404),
        ("a path outside", Head::get(&ann, &format!("/{long}")), 404),
        (
            "an id in a path",
            Head::get(&ann, &format!("/v1/users/{long}")),
            404,
        ),
        (
            "an unknown parameter",
            Head::get(&ann, &format!("/v1/me?{long}=1")),
            400,
        ),
        (
            "an unknown parameter among others",
            Head::get(&ann, &format!("/v1/inbox?since_seq=0&{long}")),
            400,
        ),
        (
            "a parameter",
            Head::get(&ann, &format!("/v1/inbox?since_seq={long}")),
            400,
        ),
        (
            "a cursor",
            Head::get(&ann, &format!("/v1/conversations?cursor={long}")),
            400,
        ),
        (
            "a watched conversation",
            Head::get(
                &ann,
                &format!("/v1/notices?since_seq=0&watch={}", &long[..10_000]),
            ),
            400,
        ),
        (
            "a method",
            Head::get(&ann, "/v1/me").line(&format!("{} /v1/me HTTP/1.1", "M".repeat(60_000))),
            405,
        ),
        ("a request id", me("X-Request-Id"), 200),
        ("an address", me("X-Forwarded-For"), 200),
        ("an origin", me("Origin"), 200),
        (
            "a type",
            Head::post(&ann, &format!("/v1{sends}"), text("x"))
                .without("Content-Type")
                .with(format!("Content-Type: {long}")),
            415,
        ),
        (
            "a token",
            Head::get(&ann, "/v1/me")
                .without("Authorization")
                .with(format!("Authorization: Bearer {long}")),
            401,
        ),
    ] {
        let answers = exchange_with(address, head.bytes()).await;
        assert_eq!(answers.len(), 1, "{what}");
        let answer = answers.into_iter().next().unwrap();
        assert_eq!(
            answer.status,
            status,
            "{what}: {:.300}",
            answer.body.to_string()
        );
        let headers: usize = answer.headers.values().map(|value| value.len()).sum();
        assert!(headers < LINE, "{what}: headers of {headers} bytes");
        if status >= 400 {
            is_short(what, &answer.body);
        }
    }
    ann.get("/unread").await.ok(200);
    let log = async || process.log();
    let is_complete = |log: &Vec<String>| log.iter().any(|line| line.contains("/v1/unread"));
    let log = eventually("the last line", Duration::from_secs(10), log, is_complete).await;
    for line in &log {
        assert!(line.len() <= LINE, "{} bytes: {line:.300}", line.len());
    }
    let warnings = log.iter().filter(|line| line.contains("X-Forwarded-For"));
    assert_eq!(warnings.count(), 1, "the address that cannot be read");
    app.finish().await;
}
