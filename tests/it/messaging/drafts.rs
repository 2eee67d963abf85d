//! Drafts: one for each conversation and member, shared by the member's devices.

use crate::support::{Answer, App, Person, execute, number, text};
use serde_json::{Value, json};

fn path(chat: &str) -> String {
    format!("/conversations/{chat}/draft")
}

fn body(version: i64, words: &str, after: i64) -> Value {
    json!({"version": version, "content": {"text": words}, "after_seq": after})
}

async fn put(who: &Person, chat: &str, version: i64, words: &str, after: i64) -> Answer {
    who.put(&path(chat), body(version, words, after)).await
}

async fn delete(who: &Person, chat: &str, version: i64) -> Answer {
    let path = format!("{}?version={version}", path(chat));
    who.call("DELETE", &path).await
}

async fn listed(who: &Person) -> Vec<Value> {
    let page = who.get("/drafts").await.ok(200);
    assert_eq!(page["next_cursor"], Value::Null);
    page["drafts"].as_array().unwrap().clone()
}

/// Lets every draft be stored again now, not after two seconds.
fn age_drafts(app: &App) {
    execute(
        &mut app.database(),
        "UPDATE drafts SET at = at - interval '2 seconds'",
    );
}

/// The drafts that the entries after a position show.
async fn shown(who: &Person, since: i64) -> Vec<Value> {
    let entries = who.entries(since).await.into_iter();
    entries
        .filter(|entry| entry["kind"] == "draft")
        .map(|entry| entry["draft"].clone())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_devices_lose_no_draft() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    ben.send(&chat, "one").await;
    let phone = ann.another_device(&app).await;
    let (before, of_ben) = (ann.head().await, ben.head().await);
    let first = put(&ann, &chat, 0, "hel", 1).await.ok(200);
    assert_eq!(
        (&first["version"], &first["content"], &first["after_seq"]),
        (&json!(1), &json!({"text": "hel"}), &json!(1))
    );
    assert_eq!(first["conversation_id"], json!(chat));
    // A lost answer: the same again.
    let again = put(&ann, &chat, 0, "hel", 1).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.ok(200), first);
    // No change takes no version.
    let same = put(&phone, &chat, 1, "hel", 1).await;
    assert_eq!(same.header("idempotent-replayed"), "");
    assert_eq!(same.ok(200), first);
    assert_eq!(shown(&phone, before).await, std::slice::from_ref(&first));
    // The other device has not seen it.
    let conflict = put(&phone, &chat, 0, "good", 1).await;
    assert_eq!(conflict.problem(409, "version_conflict")["draft"], first);
    // Too soon, with the general rate limit off.
    let soon = put(&phone, &chat, 1, "hello", 1).await;
    assert!(soon.header("retry-after").parse::<u64>().unwrap() <= 2);
    soon.problem(429, "rate_limited");
    age_drafts(&app);
    let second = put(&phone, &chat, 1, "hello", 1).await.ok(200);
    assert_eq!(second["version"], 2);
    // The lost one again, after a later one: never a revert.
    let late = put(&ann, &chat, 0, "hel", 1).await;
    assert_eq!(late.problem(409, "version_conflict")["draft"], second);
    // The same text at another place is a change.
    age_drafts(&app);
    ben.send(&chat, "two").await;
    put(&ann, &chat, 2, "hello", 2).await.ok(200);
    assert_eq!(listed(&phone).await[0]["version"], 3);
    // All entries show the draft as it is now, with the count as it was.
    let entries = ann.entries(before).await;
    let counts = entries.iter().map(|entry| {
        (
            entry["kind"].as_str().unwrap(),
            entry["unread"].as_i64().unwrap(),
        )
    });
    assert_eq!(
        counts.collect::<Vec<_>>(),
        [("draft", 1), ("draft", 1), ("message", 2), ("draft", 2)]
    );
    assert!(
        shown(&ann, before)
            .await
            .iter()
            .all(|draft| draft["version"] == 3)
    );
    assert_eq!(kinds(&ben, of_ben).await, ["message"]);
    app.finish().await;
}

async fn kinds(who: &Person, since: i64) -> Vec<String> {
    let entries = who.entries(since).await.into_iter();
    entries
        .map(|entry| entry["kind"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn version_survives_the_deletion() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let before = ann.head().await;
    // There is none: nothing to delete.
    delete(&ann, &chat, 0).await.ok(204);
    let none = delete(&ann, &chat, 1)
        .await
        .problem(409, "version_conflict");
    assert_eq!(
        (&none["draft"]["version"], &none["draft"]["content"]),
        (&json!(0), &Value::Null)
    );
    assert_eq!(ann.head().await, before);
    put(&ann, &chat, 0, "x", 0).await.ok(200);
    delete(&ann, &chat, 0)
        .await
        .problem(409, "version_conflict");
    delete(&ann, &chat, 1).await.ok(204);
    // Again: no entry.
    delete(&ann, &chat, 1).await.ok(204);
    assert_eq!(shown(&ann, before).await, [Value::Null, Value::Null]);
    assert!(listed(&ann).await.is_empty());
    let old = put(&ann, &chat, 0, "y", 0).await;
    let present = old.problem(409, "version_conflict")["draft"].clone();
    assert_eq!(
        (&present["version"], &present["content"]),
        (&json!(1), &Value::Null)
    );
    age_drafts(&app);
    assert_eq!(put(&ann, &chat, 1, "y", 0).await.ok(200)["version"], 2);
    app.finish().await;
}

/// A device that was offline stores an old text after another one has sent it: it does not come back.
#[tokio::test(flavor = "multi_thread")]
async fn sent_message_makes_the_draft_void() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.group(&[&ben]).await;
    ben.send(&chat, "one").await;
    let (phone, before) = (ann.another_device(&app).await, ann.head().await);
    put(&ann, &chat, 0, "hello", 1).await.ok(200);
    // A message of another person does nothing to it.
    ben.send(&chat, "two").await;
    assert_eq!(listed(&ann).await.len(), 1);
    assert_eq!(phone.send(&chat, "hello").await["seq"], 3);
    for device in [&ann, &phone] {
        assert!(listed(device).await.is_empty());
        assert_eq!(shown(device, before).await, [Value::Null]);
    }
    age_drafts(&app);
    put(&ann, &chat, 1, "hello again", 1).await.ok(200);
    assert!(listed(&phone).await.is_empty());
    let conflict = put(&phone, &chat, 1, "next", 3)
        .await
        .problem(409, "version_conflict");
    assert_eq!(
        (&conflict["draft"]["version"], &conflict["draft"]["content"]),
        (&json!(2), &Value::Null)
    );
    age_drafts(&app);
    put(&phone, &chat, 2, "next", 3).await.ok(200);
    assert_eq!(listed(&ann).await[0]["content"]["text"], "next");
    // A repeated send is no new message.
    let message = text("once");
    ann.post_message(&chat, message.clone()).await.ok(201);
    age_drafts(&app);
    put(&ann, &chat, 3, "more", 4).await.ok(200);
    ann.post_message(&chat, message).await.ok(200);
    assert_eq!(listed(&ann).await.len(), 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_drafts_change_nothing() {
    let (app, [ann, ben, eve]) = App::with(["ann", "ben", "eve"]).await;
    let chat = ann.group(&[&ben]).await;
    ann.send(&chat, "one").await;
    let head = ann.head().await;
    let deep = format!("{}1{}", "{\"a\":".repeat(101), "}".repeat(101));
    let deep: Value = serde_json::from_str(&deep).unwrap();
    let with = |content: Value| json!({"version": 0, "content": content, "after_seq": 1});
    for (body, pointer) in [
        (json!({}), "/version"),
        (json!({"version": 0, "after_seq": 0}), "/content"),
        (body(-1, "x", 1), "/version"),
        (body(0, "x", -1), "/after_seq"),
        (body(0, "x", 2), "/after_seq"),
        (body(9_007_199_254_740_992, "x", 1), "/version"),
        (with(json!("x")), "/content"),
        (with(json!(null)), "/content"),
        (with(json!([])), "/content"),
        (with(deep), "/content"),
        (with(json!({"text": "x".repeat(16 * 1024)})), "/content"),
        (with(json!({"text": "a\u{0}b"})), ""),
    ] {
        let problem = ann.put(&path(&chat), body).await.problem(400, "validation");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    for query in [
        "",
        "?version=",
        "?version=-1",
        "?version=x",
        "?version=1&version=1",
        "?more=1",
    ] {
        let answer = ann.call("DELETE", &format!("{}{query}", path(&chat))).await;
        answer.problem(400, "validation");
    }
    for query in [
        "?limit=0",
        "?limit=501",
        "?cursor=x",
        "?cursor=e30",
        "?more=1",
    ] {
        ann.get(&format!("/drafts{query}"))
            .await
            .problem(400, "validation");
    }
    put(&eve, &chat, 0, "x", 1).await.problem(404, "not_found");
    put(&eve, &chat, 5, "x", 99).await.problem(404, "not_found");
    delete(&eve, &chat, 0).await.problem(404, "not_found");
    assert_eq!(ann.head().await, head);
    // The largest one.
    let most = json!({"text": "x".repeat(16 * 1024 - r#"{"text":""}"#.len())});
    ann.put(&path(&chat), with(most)).await.ok(200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drafts_are_listed_in_pages() {
    let (app, [ann]) = App::with(["ann"]).await;
    let mut chats = Vec::new();
    for n in 0..5 {
        let chat = ann.group(&[]).await;
        put(&ann, &chat, 0, &format!("{n}"), 0).await.ok(200);
        chats.push(chat);
    }
    delete(&ann, &chats[1], 1).await.ok(204);
    ann.send(&chats[2], "sent").await;
    let (mut cursor, mut found) = (String::new(), Vec::new());
    loop {
        let page = ann.get(&format!("/drafts?limit=2{cursor}")).await.ok(200);
        for draft in page["drafts"].as_array().unwrap() {
            found.push(draft["conversation_id"].as_str().unwrap().to_owned());
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut left = vec![chats[0].clone(), chats[3].clone(), chats[4].clone()];
    left.sort();
    assert_eq!(found, left);
    // Pages end at about a megabyte, in the list and in the inbox.
    let big = json!({"text": "x".repeat(16_000)});
    for _ in 0..70 {
        let chat = ann.group(&[]).await;
        let body = json!({"version": 0, "content": big, "after_seq": 0});
        ann.put(&path(&chat), body).await.ok(200);
    }
    for path in ["/drafts?limit=500", "/inbox?since_seq=0&limit=500"] {
        let page = ann.get(path).await.ok(200).to_string();
        assert!(
            (1_000_000..1_200_000).contains(&page.len()),
            "{path}: {}",
            page.len()
        );
    }
    assert_eq!(
        ann.entries(0)
            .await
            .iter()
            .filter(|one| one["kind"] == "draft")
            .count(),
        76
    );
    // Leaving deletes the draft.
    ann.remove(&chats[0], &ann).await.ok(204);
    let rows = "SELECT count(*) AS n FROM drafts";
    assert_eq!(number(&mut app.database(), rows), 74);
    app.finish().await;
}
