//! The messages of validation errors.

use crate::support::{App, id};
use serde_json::{Value, json};
use tideline::http::openapi;

/// Developers read the details: each states the allowed value, and the first one is the example of the document.
#[tokio::test(flavor = "multi_thread")]
async fn violation_states_the_allowed_value() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let document = serde_json::to_value(openapi::document()).unwrap();
    let example = &document["components"]["schemas"]["Violation"]["properties"]["detail"];
    let chat = ann.group(&[&ben]).await;
    let messages = format!("/conversations/{chat}/messages");
    let members = format!("/conversations/{chat}/members");
    let message =
        |kind: &str, content| json!({"client_msg_id": id(), "kind": kind, "content": content});
    let many: Vec<_> = (0..101).map(|_| id()).collect();
    let image = json!({"url": "https://x.example/1", "mime": "image/png", "size": -1, "width": 0, "height": 1});
    let named = json!({"username": "cat", "password": "short"});
    for (path, body, expected) in [
        (
            messages.as_str(),
            message("text", json!({"text": ""})),
            json!([["/content/text", example["example"]]]),
        ),
        (
            &messages,
            message("text", json!({"text": "x", "mentions": many})),
            json!([["/content/mentions", "must be 0 to 100 items long"]]),
        ),
        (
            &messages,
            message("image", image),
            json!([
                ["/content/size", "must be 0 to 9007199254740991"],
                ["/content/width", "must be 1 to 100000"]
            ]),
        ),
        (
            &members,
            json!({"user_ids": []}),
            json!([["/user_ids", "must be 1 to 1000 items long"]]),
        ),
        (
            "/auth/register",
            named,
            json!([["/password", "must be 8 to 128 Unicode code points long"]]),
        ),
    ] {
        let problem = ann.post(path, body).await.problem(400, "validation");
        let errors = problem["errors"].as_array().unwrap().iter();
        let found: Vec<_> = errors
            .map(|one| [&one["pointer"], &one["detail"]])
            .collect();
        assert_eq!(json!(found), expected);
    }
    app.finish().await;
}

/// Type errors use the same words, whatever library makes them, and name the field or parameter.
#[tokio::test(flavor = "multi_thread")]
async fn type_errors_use_our_own_messages() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.group(&[&ben]).await;
    let messages = format!("/conversations/{chat}/messages");
    let read = format!("/conversations/{chat}/read");
    let member = format!("/conversations/{chat}/members/{}", ben.id);
    let message = |client_msg_id| json!({"client_msg_id": client_msg_id, "kind": "text", "content": {"text": "x"}});
    let group = |more: Value| {
        let mut group = json!({"kind": "group", "title": "x"});
        group
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        group
    };
    for (method, path, body, pointer, detail) in [
        (
            "POST",
            messages.as_str(),
            message(json!("x")),
            "/client_msg_id",
            "must be a UUID",
        ),
        (
            "POST",
            &messages,
            message(json!(5)),
            "/client_msg_id",
            "must be a string",
        ),
        ("POST", &messages, json!([]), "", "must be an object"),
        (
            "POST",
            &messages,
            json!({"client_msg_id": id(), "kind": "text", "content": "x"}),
            "/content",
            "must be an object",
        ),
        ("PUT", &read, json!({}), "/seq", "is required"),
        (
            "PUT",
            &read,
            json!({"seq": "1"}),
            "/seq",
            "must be a 64-bit integer",
        ),
        (
            "PUT",
            &read,
            json!({"seq": 1.5}),
            "/seq",
            "must be a 64-bit integer",
        ),
        (
            "PUT",
            &read,
            json!({"seq": 1e300}),
            "/seq",
            "must be a 64-bit integer",
        ),
        (
            "PUT",
            &read,
            json!({"seq": 1, "a~/b": 1}),
            "/a~0~1b",
            "is not known here",
        ),
        (
            "PATCH",
            &member,
            json!({"muted_until": "tomorrow"}),
            "/muted_until",
            "must be a time such as 2026-11-20T09:30:00Z",
        ),
        (
            "PATCH",
            &member,
            json!({"role": "king"}),
            "/role",
            "must be one of member, admin, owner",
        ),
        (
            "PATCH",
            &member,
            json!({"role": 7}),
            "/role",
            "must be one of member, admin, owner",
        ),
        (
            "PATCH",
            &member,
            json!({}),
            "",
            "must name role, muted_until or both",
        ),
        (
            "POST",
            "/conversations",
            group(json!({"member_ids": "x"})),
            "/member_ids",
            "must be an array",
        ),
        (
            "POST",
            "/conversations",
            group(json!({"member_ids": [id(), "x"]})),
            "/member_ids/1",
            "must be a UUID",
        ),
        (
            "POST",
            "/conversations",
            group(json!({"public": "yes"})),
            "/public",
            "must be true or false",
        ),
        (
            "POST",
            "/conversations",
            group(json!({"public": true})),
            "/public",
            "is not known here",
        ),
        (
            "POST",
            "/conversations",
            json!({"kind": "direct"}),
            "/user_id",
            "is required",
        ),
    ] {
        let answer = ann.try_call(method, path, Some(&body)).await.unwrap();
        let problem = answer.problem(400, "validation");
        assert_eq!(
            problem["errors"],
            json!([{"pointer": pointer, "detail": detail}]),
            "{path} {body}"
        );
    }
    for (path, pointer, detail) in [
        ("/inbox", "since_seq", "is required"),
        (
            "/inbox?since_seq=x",
            "since_seq",
            "must be a 64-bit integer",
        ),
        (
            "/inbox?since_seq=1.0",
            "since_seq",
            "must be a 64-bit integer",
        ),
        (
            "/inbox?since_seq=%2B1",
            "since_seq",
            "must be a 64-bit integer",
        ),
        (
            "/inbox?since_seq=-1",
            "since_seq",
            "must be 0 to 9007199254740991",
        ),
        ("/inbox?since_seq=0&limit=501", "limit", "must be 1 to 500"),
        (
            "/inbox?since_seq=0&limit=1&limit=1",
            "limit",
            "must not be given twice",
        ),
        ("/inbox?since_seq=0&epoch=x", "epoch", "must be a UUID"),
        (
            "/notices?since_seq=0&timeout=-1",
            "timeout",
            "must be 0 to 55",
        ),
        (
            "/notices?since_seq=0&colour=red",
            "colour",
            "is not known here",
        ),
        (
            "/conversations?order=size",
            "order",
            "must be one of activity, id",
        ),
        (
            "/conversations?cursor=x",
            "cursor",
            "is not a cursor of this listing",
        ),
        ("/users", "ids", "must be given when username is not"),
        ("/me?colour=red", "colour", "is not known here"),
        ("/me?a%2F~b", "a/~b", "is not known here"),
    ] {
        let problem = ann.get(path).await.problem(400, "validation");
        assert_eq!(
            problem["errors"],
            json!([{"pointer": pointer, "detail": detail}]),
            "{path}"
        );
    }
    app.finish().await;
}

/// Encoders of several languages write whole numbers like this.
#[tokio::test(flavor = "multi_thread")]
async fn integral_numbers_are_accepted_in_any_notation() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    for _ in 0..3 {
        ann.send(&chat, "hi").await;
    }
    for (seq, expected) in [("-0", 0), ("1.0", 1), ("2e0", 2), ("0.3E+1", 3)] {
        let path = format!("/conversations/{chat}/read");
        let body = format!(r#"{{"seq":{seq}}}"#);
        let mark = ben.send_bytes("PUT", &path, body).await.ok(200);
        assert_eq!(mark["read_seq"], expected, "{seq}");
    }
    let picture = |url: &str, one: &str, nothing: &str| {
        format!(
            r#"{{"client_msg_id":"0199A3C0-0000-7000-8000-0000000000AB","kind":"image","content":{{"url":"{url}","mime":"image/png","size":{nothing},"width":{one},"height":{one}}}}}"#
        )
    };
    let path = format!("/conversations/{chat}/messages");
    // A scheme and an id are case-insensitive.
    let url = "HTTPS://files.example/1.png";
    let sent = ann
        .send_bytes("POST", &path, picture(url, "1.0", "-0"))
        .await;
    let sent = sent.ok(201);
    assert_eq!(
        sent["client_msg_id"],
        "0199a3c0-0000-7000-8000-0000000000ab"
    );
    let content = json!({"url": url, "mime": "image/png", "size": 0, "width": 1, "height": 1});
    assert_eq!(sent["content"], content);
    let again = ann.send_bytes("POST", &path, picture(url, "1", "0")).await;
    assert_eq!(again.ok(200), sent);
    app.finish().await;
}
