//! Hostile input in the JSON of every body, in every query and path, and in HTTP itself. Each request gets a documented status,
//! never a 5xx, and valid requests are served afterwards.

pub mod raw;
mod repeated;
mod strict;
mod wire;

use crate::support::requests::{Operation, Request, Scene, document, operations};
use crate::support::schema::faults;
use crate::support::{Answer, App, Person, id};
use serde_json::{Value, json};

/// JSON, and text that resembles JSON, to replace any value.
fn values() -> Vec<String> {
    let plain = "null true [] {} [[]] \"\" \"1\" \"null\" {\"$gt\":\"\"} [null] \
        -1 -0 -0.0 0.0 1.5 1e0 1E5 1e308 1e-400 9007199254740992 9223372036854775807 9223372036854775808 \
        -9223372036854775809 18446744073709551616 123456789012345678901234567890 1e999999999999 1e400 -1e400 \
        NaN Infinity -Infinity 01 +1 .5 0x10 undefined 'x' \"\\u0000\" \"\\ud800\" \"\\udfff\\ud800\" \"\\x\" // {\"a\":1,}";
    let mut values: Vec<_> = plain.split_whitespace().map(str::to_owned).collect();
    values.extend([
        // Right-to-left letters, invisible letters, and a flood of marks on one letter.
        "\"\u{202e}\u{2066}\u{200d}\u{feff}x\"".to_owned(),
        format!("\"Z{}\"", "\u{301}\u{489}".repeat(5_000)),
        format!("\"{}\"", "x".repeat(200_000)),
        format!("\"{}\"", "9".repeat(1_000)),
        "9".repeat(10_000),
        "\"\n\"".to_owned(),
    ]);
    values.extend([129, 10_000].map(|depth| "[".repeat(depth) + &"]".repeat(depth)));
    values.extend([129, 10_000].map(|depth| "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth)));
    values
}

/// The JSON pointers of all values in a body, including the body itself.
fn places(value: &Value, at: &str, into: &mut Vec<String>) {
    into.push(at.to_owned());
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                places(member, &format!("{at}/{name}"), into);
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                places(item, &format!("{at}/{n}"), into);
            }
        }
        _ => {}
    }
}

/// The body with other text at one pointer.
fn replaced(body: &Value, place: &str, text: &str) -> String {
    const MARK: &str = "the place";
    let mut body = body.clone();
    *body.pointer_mut(place).unwrap() = json!(MARK);
    body.to_string().replace(&format!("\"{MARK}\""), text)
}

/// Asserts what holds for the response to any input.
#[track_caller]
fn is_documented(operation: &Operation, what: &str, answer: &Answer) {
    let place = format!("{} with {:.200}", operation.id, what);
    assert!(answer.status < 500, "{place}: {}", answer.body);
    let response = &operation.it["responses"][answer.status.to_string()];
    assert!(response.is_object(), "{place}: {}", answer.body);
    if answer.status >= 400 {
        let code = answer.body["code"].as_str().unwrap().to_owned();
        answer.clone().problem(answer.status, &code);
    }
}

/// Whether it was rejected as invalid: as a whole, or as the only message of a batch.
fn is_refused(answer: &Answer) -> bool {
    let problem = match answer.body["results"].get(0) {
        Some(one) => &one["problem"],
        None => &answer.body,
    };
    problem["code"] == "validation" || problem["code"] == "presence_cursor_invalid"
}

/// The operations with a body, each with a valid request of `ann`. Session operations use `ben`, since they log devices out
/// when there are too many.
async fn with_bodies(app: &App, people: &[Person; 3], chat: &str) -> Vec<(Operation, Request)> {
    let [ann, ben, cat] = people;
    let mut all = Vec::new();
    for operation in operations() {
        let scene = Scene {
            caller: if operation.path.starts_with("/v1/auth/") {
                ben
            } else {
                ann
            },
            chat,
            member: ben,
            stranger: cat,
        };
        let good = operation.good(app, &scene).await;
        if good.body.is_some() {
            all.push((operation, good));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_values_in_bodies_are_rejected() {
    let app = App::start().await;
    let people = app.people(["ann", "ben", "cat"]).await;
    let [ann, ben, _] = &people;
    let chat = ann.group(&[ben]).await;
    ann.send(&chat, "hi").await;
    let document = document();
    let (mut tried, mut refused) = (0, 0);
    for (operation, good) in with_bodies(&app, &people, &chat).await {
        let schema = &operation.it["requestBody"]["content"]["application/json"]["schema"];
        let body = good.body.clone().unwrap();
        assert_eq!(
            faults(&document, schema, &body, ""),
            [""; 0],
            "{}",
            operation.id
        );
        let mut all = Vec::new();
        places(&body, "", &mut all);
        for place in all {
            for text in values() {
                let bytes = replaced(&body, &place, &text);
                let answer = good.send_bytes_as(ann, bytes.clone()).await;
                let what = format!("{text:.100} at {place}");
                is_documented(&operation, &what, &answer);
                tried += 1;
                let read: Option<Value> = serde_json::from_str(&bytes).ok();
                let fits = read.is_some_and(|read| {
                    faults(&document, schema, &read, "").is_empty()
                        && !read.to_string().contains("\\u0000")
                });
                if !fits {
                    refused += 1;
                    assert!(
                        is_refused(&answer),
                        "{}: {what}: {}",
                        operation.id,
                        answer.body
                    );
                }
            }
        }
    }
    assert!(tried > 1_000 && refused > 900, "only {tried}, {refused}");
    ann.send(&chat, "still here").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicate_keys_in_bodies_are_rejected() {
    let app = App::start().await;
    let people = app.people(["ann", "ben", "cat"]).await;
    let chat = people[0].group(&[&people[1]]).await;
    people[0].send(&chat, "hi").await;
    for (operation, good) in with_bodies(&app, &people, &chat).await {
        let body = good.body.clone().unwrap();
        let mut all = Vec::new();
        places(&body, "", &mut all);
        for place in all {
            let Some(members) = body.pointer(&place).unwrap().as_object() else {
                continue;
            };
            for (name, value) in members {
                let object = json!(members).to_string();
                // The same value, another value, and another spelling of the name.
                let spelt = format!("\\u{:04x}{}", u32::from(name.as_bytes()[0]), &name[1..]);
                for more in [
                    format!("\"{name}\":{value}"),
                    format!("\"{name}\":null"),
                    format!("\"{spelt}\":{value}"),
                ] {
                    let twice = format!("{{{more},{}", &object[1..]);
                    let bytes = replaced(&body, &place, &twice);
                    let answer = good.send_bytes_as(&people[0], bytes).await;
                    is_documented(&operation, &more, &answer);
                    let problem = answer.problem(400, "validation").to_string();
                    assert!(
                        problem.contains("duplicate key"),
                        "{}: {problem}",
                        operation.id
                    );
                }
            }
        }
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_json_is_rejected_by_every_operation() {
    let app = App::start().await;
    let people = app.people(["ann", "ben", "cat"]).await;
    let ann = &people[0];
    let chat = ann.group(&[&people[1]]).await;
    ann.send(&chat, "hi").await;
    for (operation, good) in with_bodies(&app, &people, &chat).await {
        let body = good.body.clone().unwrap().to_string().into_bytes();
        let joined = |parts: &[&[u8]]| parts.concat();
        for bytes in [
            Vec::new(),
            b" ".to_vec(),
            // One byte order mark is skipped.
            joined(&[b"\xef\xbb\xbf\xef\xbb\xbf", &body]),
            joined(&[&body, b"x"]),
            joined(&[&body, &body]),
            joined(&[&body, b"\0"]),
            joined(&[b"[", &body, b"]"]),
            body[..body.len() - 1].to_vec(),
            joined(&[b"{\"\xff\":1,", &body[1..]]),
            joined(&[b"{\"\xed\xa0\x80\":1,", &body[1..]]),
            // UTF-16.
            body.iter().flat_map(|byte| [0, *byte]).collect(),
            joined(&[b"\x1f\x8b\x08\0", &body]),
        ] {
            let what = String::from_utf8_lossy(&bytes).into_owned();
            let answer = good.send_bytes_as(ann, bytes).await;
            is_documented(&operation, &what, &answer);
            assert!(
                is_refused(&answer),
                "{}: {what}: {}",
                operation.id,
                answer.body
            );
        }
        // Strings just below and just above a megabyte.
        for (length, status) in [(1024 * 1024 - 200, 400), (1024 * 1024 + 1, 413)] {
            let long = format!("{{\"{}\":1}}", "x".repeat(length));
            let answer = good.send_bytes_as(ann, long).await;
            is_documented(&operation, "a megabyte", &answer);
            assert_eq!(answer.status, status, "{}: {length}", operation.id);
        }
        // A body with another content type is not read, so its content is not reported.
        for kind in [
            None,
            Some("text/json"),
            Some("application/x-www-form-urlencoded"),
            Some("multipart/form-data; boundary=x"),
            Some("application/json2"),
            Some("\u{e9}"),
        ] {
            let url = format!("{}{}", ann.url, good.path);
            let request = ann.http.request(good.method.parse().unwrap(), url);
            let mut request = request.bearer_auth(&ann.token).body(body.clone());
            if let Some(kind) = kind {
                request = request.header("content-type", kind);
            }
            let answer = Answer::of(request.send().await.unwrap()).await;
            answer.problem(415, "unsupported_media_type");
        }
    }
    ann.send(&chat, "still here").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unicode_text_is_stored_unchanged() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let flood = format!("e{}", "\u{301}".repeat(62));
    let group = ann.group(&[&ben]).await;
    // Text that is not allowed in a name is allowed in a message.
    for words in [
        "\u{202e}evil\u{202c}",
        "\u{2066}\u{2067}\u{2069}",
        "\u{feff}",
        "\u{200d}",
        "\r\nX-Injected: 1",
    ] {
        let message = ann.send(&group, words).await;
        assert_eq!(message["content"]["text"], words);
    }
    for words in [
        flood.as_str(),
        "<script>alert(1)</script>",
        "'; DROP TABLE users; --",
        "%s%n{}${jndi:ldap://x}",
        "👩‍👩‍👧‍👦",
    ] {
        let me = ann
            .patch("/me", json!({"display_name": words}))
            .await
            .ok(200);
        assert_eq!(me["display_name"], words);
        let title = json!({"kind": "group", "title": words, "member_ids": [ben.id]});
        let group = ann.post("/conversations", title).await.ok(201);
        let seen = ben
            .conversation(group["id"].as_str().unwrap())
            .await
            .ok(200);
        assert_eq!(seen["title"], words);
        let message = ann.send(group["id"].as_str().unwrap(), words).await;
        assert_eq!(message["content"]["text"], words);
    }
    // Usernames have a small alphabet, so that no two look alike.
    for name in [
        "аnn",
        "ann\u{200d}",
        "ann\u{202e}",
        "ａｎｎ",
        "an n",
        "ann\0",
        "ann%00",
        "../ann",
        "ANN ",
        "ann\n",
    ] {
        let body = json!({"username": name, "password": "long enough"});
        let refused = app.call("POST", "/v1/auth/register", Some(body)).await;
        refused.problem(400, "validation");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_query_parameters_are_rejected() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let chat = ann.group(&[&ben]).await;
    ann.send(&chat, "hi").await;
    let long = "9".repeat(5_000);
    for operation in operations() {
        let scene = Scene {
            caller: &ann,
            chat: &chat,
            member: &ben,
            stranger: &cat,
        };
        let good = operation.good(&app, &scene).await;
        let path = good.path.split('?').next().unwrap();
        let none = Vec::new();
        for parameter in operation.it["parameters"].as_array().unwrap_or(&none) {
            if parameter["in"] != "query" {
                continue;
            }
            let name = parameter["name"].as_str().unwrap();
            for value in [
                "",
                "-1",
                "-0",
                "+1",
                "1.0",
                "1e1",
                "0x1",
                "NaN",
                "null",
                "true",
                "[]",
                "%00",
                "%ff",
                "%ed%a0%80",
                "%C0%AE",
                "9007199254740992",
                "9223372036854775808",
                "1e400",
                "%2e%2e%2f",
                "%252e",
                "%",
                "%zz",
                "\u{661}",
                "1%00",
                "1%201",
                "1,1",
                "1;1",
                "'%20OR%20'1'='1",
                "eyJ9",
                "e30",
                "bnVsbA",
                "W10",
                long.as_str(),
            ] {
                for text in [
                    format!("{name}={value}"),
                    format!("{name}={value}&{name}={value}"),
                    format!("{name}[]={value}"),
                ] {
                    let mut query = text.clone();
                    if name != "since_seq" && ["/v1/inbox", "/v1/notices"].contains(&path) {
                        query = format!("since_seq=0&{query}");
                    }
                    if path == "/v1/notices" && name != "timeout" {
                        query.push_str("&timeout=0");
                    }
                    let request = Request {
                        path: format!("{path}?{query}"),
                        ..good.clone()
                    };
                    let answer = request.send_as(&ann).await;
                    is_documented(&operation, &query, &answer);
                    // A username, its beginning, a tag, an emoji, a query or a version of a picture may be anything; and -0 is 0.
                    let once = text == format!("{name}={value}");
                    let is_any = ["username", "prefix", "emoji", "tag", "q", "v"].contains(&name)
                        || value == "-0";
                    let is_good = match name {
                        "with_replied" | "mentions" | "download" => value == "true",
                        "seqs" => value == "1,1",
                        _ => false,
                    };
                    let harmless = once && (is_any || is_good);
                    assert!(
                        is_refused(&answer) || harmless,
                        "{} {query:.99}: {}",
                        operation.id,
                        answer.body
                    );
                }
            }
        }
    }
    ann.send(&chat, "still here").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_ids_in_paths_are_not_found() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let chat = ann.group(&[&ben]).await;
    ann.send(&chat, "hi").await;
    let nobodys = id();
    let hostile = [
        "0",
        "-1",
        "null",
        "undefined",
        "%00",
        "%ff",
        "%ed%a0%80",
        "%20",
        "%2e%2e",
        "%2e%2e%2f%2e%2e",
        "..%5c",
        "%252e%252e",
        "%25",
        "%3f",
        "%23",
        "*",
        "a'b",
        "1e3",
        "9223372036854775808",
        "{id}",
        "%c3%a9",
    ];
    for operation in operations() {
        if !operation.path.contains('{') {
            continue;
        }
        let scene = Scene {
            caller: &ann,
            chat: &chat,
            member: &ben,
            stranger: &cat,
        };
        let good = operation.good(&app, &scene).await;
        let count = operation.path.matches('{').count();
        // An emoji may be anything.
        let count = count - usize::from(operation.path.ends_with("{emoji}"));
        for place in 0..count {
            let long = "x".repeat(20_000);
            let odd = [
                format!("{nobodys}0"),
                nobodys.replace('-', "%2d%2d"),
                format!("{nobodys}%00"),
                long,
            ];
            for bad in hostile.iter().map(|one| (*one).to_owned()).chain(odd) {
                let mut nth = 0;
                let parts = operation.path.split('/').map(|part| {
                    if !part.starts_with('{') {
                        return part.to_owned();
                    }
                    nth += 1;
                    match part {
                        _ if nth == place + 1 => bad.clone(),
                        "{seq}" => "1".to_owned(),
                        "{id}" => chat.clone(),
                        _ => ben.id.clone(),
                    }
                });
                let path = parts.collect::<Vec<_>>().join("/");
                let sent = raw::Head::of(&good, &ann, &path);
                let answers = raw::exchange(&app, sent.bytes()).await;
                assert_eq!(answers.len(), 1, "{path:.99}");
                let what = format!("{} {path:.99}: {}", operation.id, answers[0].body);
                // "batch" is a path of its own; a segment more or less is another path.
                assert_eq!(
                    (answers[0].status, &answers[0].body["code"]),
                    (404, &json!("not_found")),
                    "{what}"
                );
            }
        }
    }
    ann.send(&chat, "still here").await;
    app.finish().await;
}
