//! Sending and reading: kinds and limits, replays, batches, ranges.

use crate::support::{App, Person, execute, id, number, text};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn repeated_send_is_stored_once_and_returns_the_first_response() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let message = json!({"client_msg_id": id(), "kind": "custom", "content": {"a": 1, "b": {"c": [1.5, null]}}});
    let first = ann.post_message(&chat, message.clone()).await;
    let location = first.header("location").to_owned();
    let stored = first.ok(201);
    assert_eq!(location, format!("/v1/conversations/{chat}/messages/1"));
    assert_eq!(
        ann.get(location.strip_prefix("/v1").unwrap()).await.ok(200),
        stored
    );
    assert_eq!(
        (&stored["seq"], &stored["sender_id"]),
        (&json!(1), &json!(ann.id))
    );
    assert_eq!(stored["content"], message["content"]);

    // Equal as JSON values, in another spelling.
    let spelling = format!(
        r#"{{"kind":"custom","client_msg_id":{},"content":{{"b":{{"c":[15e-1,null]}},"a":1.0}}}}"#,
        message["client_msg_id"]
    );
    let path = format!("/conversations/{chat}/messages");
    let again = ann.send_bytes("POST", &path, spelling).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.ok(200), stored);

    for (kind, content) in [("custom", json!({"a": 2})), ("text", json!({"text": "x"}))] {
        let other =
            json!({"client_msg_id": message["client_msg_id"], "kind": kind, "content": content});
        ann.post_message(&chat, other)
            .await
            .problem(422, "client_msg_id_reused");
    }
    // The same id of another sender, or in another conversation, is another message.
    assert_eq!(ben.post_message(&chat, message).await.ok(201)["seq"], 2);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_stored_unchanged() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let picture = json!({"url": "https://files.example/a.png", "mime": "image/png", "size": 9, "width": 3, "height": 4});
    let with = |extra: Value| {
        let mut all = picture.clone();
        all.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        all
    };
    let good = [
        ("text", json!({"text": "Grüße 👋\u{202e}\n\t"})),
        ("text", json!({"text": "x".repeat(16 * 1024)})),
        ("emoji", json!({"emoji": "👍🏽"})),
        ("image", picture.clone()),
        (
            "image",
            with(json!({"thumbnail_url": "http://files.example/t.png"})),
        ),
        ("video", with(json!({"duration_ms": 1500}))),
        (
            "file",
            json!({"url": "https://files.example/p.pdf", "name": "p.pdf", "mime": "application/pdf", "size": 0}),
        ),
        ("custom", json!({})),
        (
            "custom",
            json!({"π": [9_007_199_254_740_991_i64, -1.25, true, null, {"": ""}]}),
        ),
    ];
    for (kind, content) in &good {
        let message = json!({"client_msg_id": id(), "kind": kind, "content": content});
        let stored = ann.post_message(&chat, message).await.ok(201);
        assert_eq!(
            (&stored["kind"], &stored["content"]),
            (&json!(kind), content)
        );
    }
    let history = ben.history(&chat, 0).await;
    let kept: Vec<_> = history
        .iter()
        .map(|one| (one["kind"].as_str().unwrap(), one["content"].clone()))
        .collect();
    assert_eq!(kept, good.to_vec());
    let inbox = ben.entries(1).await;
    assert!(
        inbox
            .iter()
            .map(|entry| &entry["message"])
            .eq(history.iter())
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_content_is_rejected_with_its_pointer() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let picture = |url: &str, width: i64| json!({"url": url, "mime": "image/png", "size": 9, "width": width, "height": 4});
    let nested = (0..101).fold(json!({}), |inner, _| json!({ "a": inner }));
    let bad = [
        ("text", json!({"text": ""}), "/content/text"),
        (
            "text",
            json!({"text": "x".repeat(16 * 1024 + 1)}),
            "/content/text",
        ),
        ("text", json!({"text": 5}), "/content/text"),
        ("text", json!({"text": "x", "bold": true}), "/content/bold"),
        ("text", json!({}), "/content/text"),
        ("text", json!("x"), "/content"),
        ("emoji", json!({"emoji": "👍".repeat(17)}), "/content/emoji"),
        ("image", picture("javascript:alert(1)", 3), "/content/url"),
        ("image", picture("https://", 3), "/content/url"),
        ("image", picture("https://a b", 3), "/content/url"),
        (
            "image",
            picture("https://files.example", 0),
            "/content/width",
        ),
        ("custom", json!([1]), "/content"),
        ("custom", nested, "/content"),
        ("sticker", json!({}), "/kind"),
    ];
    for (kind, content, pointer) in bad {
        let message = json!({"client_msg_id": id(), "kind": kind, "content": content});
        let problem = ann
            .post_message(&chat, message)
            .await
            .problem(400, "validation");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    for (body, pointer) in [
        (
            json!({"client_msg_id": "1", "kind": "text", "content": {"text": "x"}}),
            "/client_msg_id",
        ),
        (
            json!({"kind": "text", "content": {"text": "x"}}),
            "/client_msg_id",
        ),
        (
            json!({"client_msg_id": id(), "kind": "text", "content": {"text": "x"}, "seq": 9}),
            "/seq",
        ),
    ] {
        let problem = ann
            .post_message(&chat, body)
            .await
            .problem(400, "validation");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    assert_eq!(ann.history(&chat, 0).await.len(), 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_json_is_rejected() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let content = |json: &str| {
        format!(
            r#"{{"client_msg_id":"{}","kind":"custom","content":{json}}}"#,
            id()
        )
    };
    let deep = format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200));
    for json in [
        r#"{"a":"\u0000"}"#,
        r#"{"\u0000":1}"#,
        r#"{"a":"\ud800"}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a":{"b":1,"b":1}}"#,
        r#"{"a":1e400}"#,
        r#"{"a":NaN}"#,
        r#"{"a":1"#,
        r#"{"a":01}"#,
        deep.as_str(),
    ] {
        let path = format!("/conversations/{chat}/messages");
        let answer = ann.send_bytes("POST", &path, content(json)).await;
        answer.problem(400, "validation");
    }
    assert_eq!(ann.head().await, 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_stores_valid_messages_in_order() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let before = text("before");
    ann.post_message(&chat, before.clone()).await.ok(201);
    let twice = text("twice");
    let mut reused = before.clone();
    reused["content"]["text"] = json!("changed");
    let messages = [
        text("one"),
        json!({"client_msg_id": id(), "kind": "text", "content": {"text": ""}}),
        twice.clone(),
        before.clone(),
        reused,
        twice.clone(),
        text("last"),
    ];
    let path = format!("/conversations/{chat}/messages/batch");
    let answer = ann.post(&path, json!({"messages": messages})).await.ok(200);
    let results = answer["results"].as_array().unwrap();
    let outcome = |one: &Value| {
        (
            one["status"].as_i64().unwrap(),
            one["replayed"] == true,
            one["message"]["seq"].as_i64(),
            one["problem"]["code"].as_str().unwrap_or("").to_owned(),
        )
    };
    let outcomes: Vec<_> = results.iter().map(outcome).collect();
    assert_eq!(
        outcomes,
        [
            (201, false, Some(2), String::new()),
            (400, false, None, "validation".into()),
            (201, false, Some(3), String::new()),
            (200, true, Some(1), String::new()),
            (422, false, None, "client_msg_id_reused".into()),
            (200, true, Some(3), String::new()),
            (201, false, Some(4), String::new()),
        ]
    );
    assert_eq!(
        results[1]["problem"]["errors"][0]["pointer"],
        "/messages/1/content/text"
    );
    let ids: Vec<_> = results.iter().map(|one| &one["client_msg_id"]).collect();
    assert!(
        ids.iter()
            .zip(&messages)
            .all(|(id, message)| **id == message["client_msg_id"])
    );

    // A replay stores nothing.
    let again = ann.post(&path, json!({"messages": messages})).await.ok(200);
    let stored = |answer: &Value| -> Vec<Value> {
        answer["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["message"].clone())
            .collect()
    };
    assert_eq!(stored(&again), stored(&answer));
    assert!(
        again["results"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["status"] != 201)
    );

    // A malformed envelope rejects the whole batch.
    let too_many: Vec<_> = (0..101).map(|_| text("x")).collect();
    for body in [
        json!({"messages": too_many}),
        json!({"messages": []}),
        json!({"messages": [text("x"), {"kind": "text"}]}),
        json!({}),
        json!({"messages": [text("x")], "atomic": true}),
    ] {
        ann.post(&path, body).await.problem(400, "validation");
    }
    let outsider: [Person; 1] = app.people(["eve"]).await;
    let refused = outsider[0]
        .post(&path, json!({"messages": [text("x")]}))
        .await
        .ok(200);
    assert_eq!(refused["results"][0]["problem"]["code"], "not_found");
    assert_eq!(ann.history(&chat, 0).await.len(), 4);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_ascending_and_exclusive_in_both_directions() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let batch: Vec<_> = (1..=25).map(|n| text(&n.to_string())).collect();
    ann.post(
        &format!("/conversations/{chat}/messages/batch"),
        json!({"messages": batch}),
    )
    .await
    .ok(200);
    let range = async |query: &str| {
        let page = ben
            .get(&format!("/conversations/{chat}/messages?{query}"))
            .await
            .ok(200);
        let seqs: Vec<i64> = page["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["seq"].as_i64().unwrap())
            .collect();
        assert_eq!(page["last_seq"], 25);
        (seqs, page["has_more"] == true)
    };
    assert_eq!(range("limit=10").await, ((16..=25).collect(), true));
    assert_eq!(range("limit=500").await, ((1..=25).collect(), false));
    assert_eq!(
        range("since_seq=0&limit=10").await,
        ((1..=10).collect(), true)
    );
    assert_eq!(
        range("since_seq=20&limit=5").await,
        ((21..=25).collect(), false)
    );
    assert_eq!(range("since_seq=25").await, (vec![], false));
    assert_eq!(
        range("before_seq=16&limit=10").await,
        ((6..=15).collect(), true)
    );
    assert_eq!(
        range("before_seq=6&limit=10").await,
        ((1..=5).collect(), false)
    );
    assert_eq!(range("before_seq=1").await, (vec![], false));
    let path = |query: &str| format!("/conversations/{chat}/messages?{query}");
    let ahead = ben
        .get(&path("since_seq=26"))
        .await
        .problem(409, "cursor_ahead");
    assert_eq!(
        (&ahead["last_seq"], &ahead["resync"]),
        (&json!(25), &json!("/v1/conversations"))
    );
    for bad in [
        "since_seq=1&before_seq=3",
        "since_seq=-1",
        "since_seq=x",
        "since_seq=9007199254740992",
        "limit=0",
        "limit=501",
        "since_seq=99999999999999999999",
        "from=1",
        "since_seq=1&since_seq=1",
    ] {
        ben.get(&path(bad)).await.problem(400, "validation");
    }
    for seq in ["0", "26", "-1", "x", "99999999999999999999"] {
        ben.get(&format!("/conversations/{chat}/messages/{seq}"))
            .await
            .problem(404, "not_found");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_limited_by_bytes_without_gaps() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    for n in 0..6 {
        let message = json!({"client_msg_id": id(), "kind": "custom", "content": {"n": n, "x": "y".repeat(400_000)}});
        ann.post_message(&chat, message).await.ok(201);
        ann.send(&chat, "small").await;
    }
    let path = format!("/conversations/{chat}/messages?since_seq=0&limit=500");
    let page = ben.get(&path).await.ok(200);
    let count = page["messages"].as_array().unwrap().len();
    assert!(
        (1..12).contains(&count) && page["has_more"] == true,
        "{count}"
    );
    let newest = ben
        .get(&format!("/conversations/{chat}/messages"))
        .await
        .ok(200);
    assert_eq!(
        newest["messages"].as_array().unwrap().last().unwrap()["seq"],
        12
    );

    let first = ben.inbox(0).await;
    assert!(first["entries"].as_array().unwrap().len() < 13 && first["has_more"] == true);
    let seqs: Vec<_> = ben
        .entries(0)
        .await
        .iter()
        .map(|entry| entry["seq"].as_i64().unwrap())
        .collect();
    assert_eq!(seqs, (1..=13).collect::<Vec<_>>());
    app.finish().await;
}

/// A page costs what it returns: stored lengths decide where it ends. Old messages without a stored length are measured by
/// their content.
#[tokio::test(flavor = "multi_thread")]
async fn pages_are_limited_by_stored_lengths() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    for n in 0..4 {
        ann.send(&chat, &format!("{n}")).await;
    }
    let history = format!("/conversations/{chat}/messages?limit=10");
    let since = format!("{history}&since_seq=0");
    let mut database = app.database();
    for (length, found) in [("1048576", 1), ("NULL", 4)] {
        execute(
            &mut database,
            &format!("UPDATE messages SET length = {length}"),
        );
        for path in [&history, &since] {
            let page = ben.get(path).await.ok(200);
            assert_eq!(
                page["messages"].as_array().unwrap().len(),
                found,
                "{length}"
            );
        }
        let page = ben.inbox(1).await;
        assert_eq!(page["entries"].as_array().unwrap().len(), found, "{length}");
    }
    let stored = "SELECT count(*) AS n FROM messages WHERE length = octet_length(content::text)";
    ann.send(&chat, "é").await;
    assert_eq!(number(&mut database, stored), 1);
    app.finish().await;
}
