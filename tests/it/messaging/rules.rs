//! The rules of a group: who posts and pins, slow mode, and the message to which it was created.

use crate::support::{App, Person, execute, id, text};
use serde_json::{Value, json};

async fn set(who: &Person, chat: &str, rules: Value) -> Value {
    let path = format!("/conversations/{chat}");
    who.patch(&path, rules).await.ok(200)
}

#[tokio::test(flavor = "multi_thread")]
async fn owner_and_admins_change_the_rules() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let chat = ann.group(&[&ben, &cat]).await;
    ann.change(&chat, &ben, json!({"role": "admin"}))
        .await
        .ok(200);
    let shown = cat.conversation(&chat).await.ok(200);
    let rules = |one: &Value| {
        ["posting", "pinning", "slow_mode_seconds", "parent"].map(|name| one[name].clone())
    };
    assert_eq!(json!(rules(&shown)), json!(["all", "admins", 0, null]));
    let head = cat.head().await;
    let new = json!({"posting": "admins", "pinning": "all", "slow_mode_seconds": 21_600});
    let changed = set(&ben, &chat, new.clone()).await;
    assert_eq!(
        json!(rules(&changed)),
        json!(["admins", "all", 21_600, null])
    );
    // Again: no entry. Others keep what is not named.
    set(&ben, &chat, new).await;
    set(&ann, &chat, json!({"posting": "admins"})).await;
    let entries = cat.entries(head).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(rules(&entries[0]["conversation"]), rules(&changed));
    assert_eq!(
        rules(&cat.conversation(&chat).await.ok(200)),
        rules(&changed)
    );
    let path = format!("/conversations/{chat}");
    cat.patch(&path, json!({"posting": "all"}))
        .await
        .problem(403, "forbidden");
    for bad in [
        json!({}),
        json!({"posting": "owner"}),
        json!({"pinning": 1}),
        json!({"slow_mode_seconds": -1}),
        json!({"slow_mode_seconds": 21_601}),
        json!({"parent": null}),
    ] {
        ann.patch(&path, bad).await.problem(400, "validation");
    }
    let direct = format!("/conversations/{}", ann.direct(&ben).await);
    let shown = ann.get(&direct).await.ok(200);
    assert_eq!(json!(rules(&shown)), json!(["all", "all", 0, null]));
    let bad = ann.patch(&direct, json!({"posting": "admins"})).await;
    bad.problem(400, "validation");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_leads_post_announcements() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.group(&[&ben]).await;
    let message = text("before");
    ben.post_message(&chat, message.clone()).await.ok(201);
    set(&ann, &chat, json!({"posting": "admins"})).await;
    ben.post_message(&chat, text("x"))
        .await
        .problem(403, "forbidden");
    ann.send(&chat, "x").await;
    // A stored message is answered again, and reactions stay allowed.
    ben.post_message(&chat, message).await.ok(200);
    let reaction = format!("/conversations/{chat}/messages/2/reactions/x");
    ben.put(&reaction, Value::Null).await.ok(200);
    ann.change(&chat, &ben, json!({"role": "admin"}))
        .await
        .ok(200);
    ben.send(&chat, "y").await;
    set(&ann, &chat, json!({"posting": "all"})).await;
    // A channel is for announcements always.
    let channel = json!({"kind": "channel", "title": "News", "member_ids": [ben.id]});
    let channel = ann.post("/conversations", channel).await.ok(201);
    assert_eq!(channel["posting"], "admins");
    let path = format!("/conversations/{}", channel["id"].as_str().unwrap());
    let bad = ann.patch(&path, json!({"posting": "all"})).await;
    bad.problem(400, "validation");
    ann.patch(&path, json!({"posting": "admins"})).await.ok(200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_pin_where_pinning_is_for_all() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.group(&[&ben]).await;
    ann.send(&chat, "x").await;
    let pin = format!("/conversations/{chat}/pins/1");
    ben.put(&pin, Value::Null).await.problem(403, "forbidden");
    set(&ann, &chat, json!({"pinning": "all"})).await;
    ben.put(&pin, Value::Null).await.ok(204);
    let until = json!({"muted_until": "2100-01-01T00:00:00Z"});
    ann.change(&chat, &ben, until).await.ok(200);
    ben.call("DELETE", &pin).await.ok(204);
    ben.put(&pin, Value::Null).await.problem(403, "muted");
    app.finish().await;
}

/// The status of each message of a batch.
fn statuses(results: &Value) -> Vec<i64> {
    let results = results["results"].as_array().unwrap().iter();
    results.map(|one| one["status"].as_i64().unwrap()).collect()
}

/// Batches of a member on two nodes: one message is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slow_mode_holds_for_all_nodes() {
    let (mut app, [ann, ben]) = App::with(["ann", "ben"]).await;
    app.add_node().await;
    let chat = ann.group(&[&ben]).await;
    set(&ann, &chat, json!({"slow_mode_seconds": 60})).await;
    let there = ben.at(&format!("http://{}", app.nodes[1].address));
    let path = format!("/conversations/{chat}/messages/batch");
    for round in 1..=20 {
        let batches = (0..4).map(async |n| {
            let who = if n % 2 == 0 { &ben } else { &there };
            let batch = json!({"messages": [text("x"), text("y"), text("z")]});
            statuses(&who.post(&path, batch).await.ok(200))
        });
        let results = futures_util::future::join_all(batches).await.concat();
        let stored = results.iter().filter(|status| **status == 201).count();
        let slowed = results.iter().filter(|status| **status == 429).count();
        assert_eq!((stored, slowed), (1, 11), "{results:?}");
        assert_eq!(ann.history(&chat, 0).await.len(), round);
        execute(
            &mut app.database(),
            "UPDATE messages SET created_at = created_at - interval '61 seconds';
             UPDATE conversations SET created_at = created_at - interval '61 seconds'",
        );
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_mode_spaces_the_messages_of_a_member() {
    for fanout_limit in [500, 1] {
        let app = App::configured(|config| config.fanout_limit = fanout_limit).await;
        let [ann, ben, cat] = app.people(["ann", "ben", "cat"]).await;
        let chat = ann.group(&[&ben, &cat]).await;
        set(&ann, &chat, json!({"slow_mode_seconds": 60})).await;
        // Of a batch the first is stored.
        let path = format!("/conversations/{chat}/messages/batch");
        let first = text("one");
        let batch = json!({"messages": [first, text("two"), text("three")]});
        let results = ben.post(&path, batch.clone()).await.ok(200);
        let codes = results["results"].as_array().unwrap().iter();
        let codes: Vec<_> = codes
            .map(|one| (&one["status"], &one["problem"]["code"]))
            .collect();
        let slow = (&json!(429), &json!("slow_mode"));
        assert_eq!(codes, [(&json!(201), &Value::Null), slow, slow]);
        let refused = ben.post_message(&chat, text("two")).await;
        let seconds: i64 = refused.header("retry-after").parse().unwrap();
        assert!((50..=60).contains(&seconds), "{seconds}");
        let problem = refused.problem(429, "slow_mode");
        assert!(problem["retry_after_ms"].as_i64().unwrap() <= 60_000);
        // A repeat is answered all the same, also in a batch. Others, and the owner, are not concerned.
        ben.post_message(&chat, first.clone()).await.ok(200);
        let results = ben.post(&path, batch).await.ok(200);
        assert_eq!(statuses(&results), [200, 429, 429]);
        let batch = json!({"messages": [text("x"), first, text("y")]});
        let results = ben.post(&path, batch).await.ok(200);
        assert_eq!(statuses(&results), [429, 200, 429]);
        cat.send(&chat, "from cat").await;
        ann.send(&chat, "x").await;
        ann.send(&chat, "y").await;
        // A minute later.
        execute(
            &mut app.database(),
            "UPDATE messages SET created_at = created_at - interval '61 seconds';
             UPDATE conversations SET created_at = created_at - interval '61 seconds'",
        );
        ben.send(&chat, "two").await;
        ben.post_message(&chat, text("three"))
            .await
            .problem(429, "slow_mode");
        set(&ann, &chat, json!({"slow_mode_seconds": 0})).await;
        ben.send(&chat, "three").await;
        app.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parent_is_shown_to_those_who_see_its_message() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let chat = ann.group(&[&ben]).await;
    ann.send(&chat, "one").await;
    let parent = json!({"conversation_id": chat, "seq": 1});
    let group = |parent: &Value, client_id: &str| {
        json!({"kind": "group", "title": "Friday", "member_ids": [ben.id, cat.id],
            "client_conversation_id": client_id, "parent": parent})
    };
    let own = id();
    let made = ann
        .post("/conversations", group(&parent, &own))
        .await
        .ok(201);
    assert_eq!(made["parent"], parent);
    let child = made["id"].as_str().unwrap();
    for (who, shown) in [(&ann, &parent), (&ben, &parent), (&cat, &Value::Null)] {
        assert_eq!(&who.conversation(child).await.ok(200)["parent"], shown);
        let entries = who.entries(0).await;
        let entry = entries.iter().find(|one| one["conversation_id"] == child);
        assert_eq!(&entry.unwrap()["conversation"]["parent"], shown);
    }
    // The same again, and not with another parent.
    let again = ann
        .post("/conversations", group(&parent, &own))
        .await
        .ok(200);
    assert_eq!(again["id"], child);
    for other in [json!({"conversation_id": chat, "seq": 2}), Value::Null] {
        let reused = ann.post("/conversations", group(&other, &own)).await;
        reused.problem(422, "client_conversation_id_reused");
    }
    // The creator must see the message.
    let invisible = json!({"conversation_id": chat, "seq": 2});
    for (who, parent) in [(&ann, &invisible), (&cat, &parent)] {
        let refused = who.post("/conversations", group(parent, &id())).await;
        refused.problem(404, "not_found");
    }
    let direct = json!({"kind": "direct", "user_id": ben.id, "parent": parent});
    ann.post("/conversations", direct)
        .await
        .problem(400, "validation");
    // A member who clears the history does not see it any more.
    let cleared = format!("/conversations/{chat}/cleared");
    ben.put(&cleared, json!({"seq": 1})).await.ok(204);
    assert_eq!(ben.conversation(child).await.ok(200)["parent"], Value::Null);
    app.finish().await;
}
