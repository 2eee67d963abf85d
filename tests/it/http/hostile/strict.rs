//! JSON that serde_json would interpret in its own way.

use crate::http::hostile::{is_refused, places, replaced, with_bodies};
use crate::support::{App, Person, id};
use serde_json::Value;

/// The member names that `serde_json::Value` treats as its own markers when it deserializes.
const NAMES: [&str; 2] = [
    "$serde_json::private::RawValue",
    "$serde_json::private::Number",
];

/// Sends a body, and returns the status and the raw text of the response, which `serde_json::Value` would change.
async fn exchange(person: &Person, method: &str, path: &str, body: String) -> (u16, String) {
    let url = format!("{}{path}", person.url);
    let request = person.http.request(method.parse().unwrap(), url);
    let request = request
        .bearer_auth(&person.token)
        .header("content-type", "application/json")
        .body(body);
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

fn custom(id: &str, content: &str) -> String {
    format!(r#"{{"client_msg_id":"{id}","kind":"custom","content":{content}}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn content_with_serde_private_names_is_stored_unchanged() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let sends = format!("/v1/conversations/{chat}/messages");
    let mut expected = Vec::new();
    for name in NAMES {
        for text in [
            r#""{\"a\":\"\\u0000\",\"b\":1,\"b\":2}""#,
            r#""[1, 2]""#,
            r#""007""#,
            r#""1""#,
            r#""not JSON""#,
            "1",
            "null",
            r#"{"a":1}"#,
        ] {
            for content in [
                format!(r#"{{"{name}":{text}}}"#),
                format!(r#"{{"a":[{{"{name}":{text}}}]}}"#),
                format!(r#"{{"{name}":{text},"b":1}}"#),
                format!(r#"{{"a":[[{{"b":{{"{name}":{{"{name}":{text}}}}}}}]]}}"#),
            ] {
                let kept = format!(r#""content":{content}"#);
                let (status, response) =
                    exchange(&ann, "POST", &sends, custom(&id(), &content)).await;
                assert_eq!(status, 201, "{content}: {response}");
                assert!(response.contains(&kept), "{content} became {response}");
                let batch = format!(r#"{{"messages":[{}]}}"#, custom(&id(), &content));
                let (status, response) =
                    exchange(&ann, "POST", &format!("{sends}/batch"), batch).await;
                assert_eq!(status, 200, "{content}: {response}");
                assert!(response.contains(&kept), "{content} became {response}");
                expected.extend([kept.clone(), kept]);
            }
        }
    }
    let (mut history, mut since) = (String::new(), 0);
    while since < expected.len() {
        let path = format!("{sends}?since_seq={since}&limit=50");
        history += &exchange(&ben, "GET", &path, String::new()).await.1;
        since += 50;
    }
    let mut rest = history.as_str();
    for kept in expected {
        (_, rest) = rest
            .split_once(&kept)
            .unwrap_or_else(|| panic!("{kept} was not stored"));
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_is_compared_with_the_sent_content() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let sends = format!("/v1/conversations/{chat}/messages");
    for name in NAMES {
        let one = id();
        for (text, expected) in [("1", 201), ("1", 200), (" 1", 422), ("1 ", 422)] {
            let content = format!(r#"{{"a":{{"{name}":"{text}"}},"b":1.0}}"#);
            let (status, response) = exchange(&ann, "POST", &sends, custom(&one, &content)).await;
            assert_eq!(status, expected, "{content}: {response}");
        }
        // Another spelling of the same values is the same message.
        let content = format!(r#"{{"b":1,"a":{{"{name}":"1"}}}}"#);
        let (status, response) = exchange(&ann, "POST", &sends, custom(&one, &content)).await;
        assert_eq!(status, 200, "{content}: {response}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_inside_strings_is_not_parsed() {
    let app = App::start().await;
    let people = app.people(["ann", "ben", "cat"]).await;
    let [ann, ben, _] = &people;
    let chat = ann.group(&[ben]).await;
    ann.send(&chat, "hi").await;
    let mut tried = 0;
    for (operation, good) in with_bodies(&app, &people, &chat).await {
        let body = good.body.clone().unwrap();
        let mut all = Vec::new();
        places(&body, "", &mut all);
        // A draft may have any content.
        all.retain(|place| operation.id != "update_draft" || !place.starts_with("/content"));
        for place in all {
            let inside = Value::from(body.pointer(&place).unwrap().to_string());
            for name in NAMES {
                let text = format!(r#"{{"{name}":{inside}}}"#);
                let answer = good
                    .send_bytes_as(ann, replaced(&body, &place, &text))
                    .await;
                let what = format!("{} with {text} at {place}", operation.id);
                assert!(is_refused(&answer), "{what}: {}", answer.body);
                tried += 1;
            }
        }
    }
    assert!(tried > 50, "only {tried}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicate_keys_and_nul_are_rejected_at_any_depth() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let sends = format!("/conversations/{chat}/messages");
    for (bad, reason) in [
        (
            r#"{"b":1,"b":2}"#,
            "has the duplicate key \"b\" at line 1, column ",
        ),
        (
            r#"{"b":1,"\u0062":2}"#,
            "has the duplicate key \"b\" at line 1, column ",
        ),
        (
            r#"{"b":"\u0000"}"#,
            "has a NUL character at line 1, column ",
        ),
        (r#"{"\u0000":1}"#, "has a NUL character at line 1, column "),
    ] {
        for depth in [0, 1, 2, 30, 99] {
            for (open, close) in [(r#"{"a":"#, "}"), ("[", "]")] {
                let nested = open.repeat(depth) + bad + &close.repeat(depth);
                let message = custom(&id(), &format!(r#"{{"a":{nested}}}"#));
                let batch = format!(r#"{{"messages":[{message}]}}"#);
                for (path, body) in [(sends.clone(), message), (format!("{sends}/batch"), batch)] {
                    let answer = ann.send_bytes("POST", &path, body).await;
                    let problem = answer.problem(400, "validation");
                    let detail = problem["errors"][0]["detail"].as_str().unwrap();
                    assert!(detail.starts_with(reason), "{nested}: {detail}");
                }
            }
        }
    }
    assert_eq!(ann.history(&chat, 0).await.len(), 0);
    app.finish().await;
}
