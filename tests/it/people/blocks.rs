//! Blocks: what they stop, and what they do not stop.

use crate::support::{App, Person, execute, id, text, waiting_for_locks};
use futures_util::future::join_all;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn block_stops_only_direct_sends_in_both_directions() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let chat = ann.direct(&ben).await;
    let group = ann.group(&[&ben]).await;
    let first = text("while we talk");
    ben.post_message(&chat, first.clone()).await.ok(201);
    let block = |person: &str| format!("/me/blocks/{person}");
    let head = ben.head().await;
    for _ in 0..2 {
        ann.put(&block(&ben.id), Value::Null).await.ok(204);
    }
    for person in [&ann, &ben] {
        let refused = person.post_message(&chat, text("x")).await;
        refused.problem(403, "blocked");
    }
    // The same in a batch, item by item, replays first.
    let batch = json!({"messages": [first, text("x")]});
    let path = format!("/conversations/{chat}/messages/batch");
    let results = ben.post(&path, batch).await.ok(200)["results"].clone();
    assert_eq!(
        (&results[0]["status"], &results[1]["problem"]["code"]),
        (&json!(200), &json!("blocked"))
    );
    // History stays readable, the conversation is found, groups work, and the blocked user is not notified.
    assert_eq!(ben.history(&chat, 0).await.len(), 1);
    assert_eq!(ben.direct(&ann).await, chat);
    ann.read(&chat, 1).await;
    assert_eq!(ben.head().await, head);
    ben.send(&group, "still here").await;

    // No new direct conversation, from either side.
    cat.put(&block(&ann.id), Value::Null).await.ok(204);
    for (one, other) in [(&ann, &cat), (&cat, &ann)] {
        let direct = json!({"kind": "direct", "user_id": other.id});
        one.post("/conversations", direct)
            .await
            .problem(403, "blocked");
    }
    assert_eq!(cat.head().await, 1, "an entry for the own devices");

    // It ends when both have removed their blocks.
    ben.put(&block(&ann.id), Value::Null).await.ok(204);
    for _ in 0..2 {
        ann.call("DELETE", &block(&ben.id)).await.ok(204);
    }
    ann.post_message(&chat, text("x"))
        .await
        .problem(403, "blocked");
    ben.call("DELETE", &block(&ann.id)).await.ok(204);
    ann.send(&chat, "hello again").await;
    cat.call("DELETE", &block(&ann.id)).await.ok(204);
    ann.direct(&cat).await;

    ann.put(&block(&ann.id), Value::Null)
        .await
        .problem(400, "validation");
    ann.put(&block(&id()), Value::Null)
        .await
        .problem(404, "not_found");
    ann.put(&block("ben"), Value::Null)
        .await
        .problem(404, "not_found");
    ann.call("DELETE", &block(&id())).await.ok(204);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_paged_and_limited() {
    let (app, people) = App::with(["ann", "b00", "b01", "b02", "b03"]).await;
    let [ann, others @ ..] = &people;
    for one in others {
        ann.put(&format!("/me/blocks/{}", one.id), Value::Null)
            .await
            .ok(204);
    }
    let first = ann.get("/me/blocks?limit=3").await.ok(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = ann
        .get(&format!("/me/blocks?limit=3&cursor={cursor}"))
        .await
        .ok(200);
    assert_eq!(second["next_cursor"], Value::Null);
    let pages = [&first, &second].into_iter();
    let listed: Vec<_> = pages
        .flat_map(|page| page["users"].as_array().unwrap())
        .map(|user| user["id"].as_str().unwrap())
        .collect();
    let mut ids: Vec<_> = others.iter().map(|one| one.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(listed, ids);
    ann.get("/me/blocks?cursor=x")
        .await
        .problem(400, "validation");

    // Concurrent blocks do not exceed the limit.
    execute(
        &mut app.database(),
        &format!(
            "INSERT INTO blocks SELECT '{}', gen_random_uuid() FROM generate_series(1, 995)",
            ann.id
        ),
    );
    let people = app.people(["c00", "c01", "c02"]).await;
    let blocks = people.iter().map(|one| {
        let path = format!("/me/blocks/{}", one.id);
        async move { ann.put(&path, Value::Null).await }
    });
    let answers = join_all(blocks).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 409, 409]);
    let refused = answers.into_iter().find(|answer| answer.status == 409);
    refused.unwrap().problem(409, "limit_reached");
    // Repeating a block at the limit is allowed.
    let again = format!("/me/blocks/{}", others[0].id);
    ann.put(&again, Value::Null).await.ok(204);
    app.finish().await;
}

/// A block and a new conversation of the same two users, at the same time: afterwards no send succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_block_and_new_conversation_are_serialized() {
    let (app, [ann]) = App::with(["ann"]).await;
    for round in 0..12 {
        let [ben] = app.people([format!("b{round:02}").as_str()]).await;
        let direct = json!({"kind": "direct", "user_id": ann.id});
        let path = format!("/me/blocks/{}", ben.id);
        let (blocked, made) = tokio::join!(
            ann.put(&path, Value::Null),
            ben.post("/conversations", direct)
        );
        blocked.ok(204);
        match made.status {
            201 => {
                let chat = made.body["id"].as_str().unwrap();
                let refused = ben.post_message(chat, text("x")).await;
                refused.problem(403, "blocked");
            }
            _ => drop(made.problem(403, "blocked")),
        }
    }
    app.finish().await;
}

/// The kinds of the entries that a message with mentions makes in an inbox.
async fn kinds_of_a_mention(by: &Person, chat: &str, named: &[&Person], of: &Person) -> Vec<Value> {
    let before = of.head().await;
    let ids: Vec<_> = named.iter().map(|one| one.id.as_str()).collect();
    let mut message = text("look here");
    message["content"]["mentions"] = json!(ids);
    // As a batch of one, which works like a single send.
    let (path, batch) = (
        format!("/conversations/{chat}/messages/batch"),
        json!({"messages": [message]}),
    );
    let sent = by.post(&path, batch).await.ok(200);
    assert_eq!(sent["results"][0]["status"], 201);
    let entries = of.entries(before).await;
    entries.iter().map(|one| one["kind"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn block_stops_mentions_by_blocked_users() {
    let app = App::configured(|config| config.fanout_limit = 3).await;
    let [ann, ben, cat, dan] = app.people(["ann", "ben", "cat", "dan"]).await;
    let small = ann.group(&[&ben, &cat]).await;
    let large = ann.group(&[&ben, &cat, &dan]).await;
    for (chat, without, with) in [
        (&small, json!(["message"]), json!(["message", "mention"])),
        (&large, json!([]), json!(["mention"])),
    ] {
        let named = [&ben, &cat];
        ben.block(&ann).await.ok(204);
        let kinds = kinds_of_a_mention(&ann, chat, &named, &ben).await;
        assert_eq!(json!(kinds), without);
        // Other mentions still work, in both directions.
        let kinds = kinds_of_a_mention(&ann, chat, &named, &cat).await;
        assert_eq!(json!(kinds), with);
        let kinds = kinds_of_a_mention(&cat, chat, &named, &ben).await;
        assert_eq!(json!(kinds), with);
        let kinds = kinds_of_a_mention(&ben, chat, &[&ann], &ann).await;
        assert_eq!(json!(kinds), with);
        let path = format!("/me/blocks/{}", ann.id);
        ben.call("DELETE", &path).await.ok(204);
        let kinds = kinds_of_a_mention(&ann, chat, &named, &ben).await;
        assert_eq!(json!(kinds), with);
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn block_stops_adding_to_groups_in_both_directions() {
    let names = ["ann", "ben", "cat", "dan", "eve"];
    let (app, [ann, ben, cat, dan, eve]) = App::with(names).await;
    let chat = ann.group(&[&eve]).await;
    let role = json!({"role": "admin"});
    ann.change(&chat, &eve, role).await.ok(200);
    ben.block(&ann).await.ok(204);
    ann.block(&cat).await.ok(204);
    let mut both = [json!(ben.id), json!(cat.id)];
    both.sort_by_key(Value::to_string);
    for one in [&ben, &cat] {
        ann.add(&chat, &[one]).await.problem(403, "blocked");
    }
    let added = ann.add(&chat, &[&ben, &cat, &dan, &eve]).await.ok(200);
    let expected = json!({"added": [dan.id], "already_members": [eve.id], "refused": both});
    assert_eq!(added, expected);
    let added = ann.add(&chat, &[&ben, &cat]).await.ok(200);
    let expected = json!({"added": [], "already_members": [], "refused": both});
    assert_eq!(added, expected);
    // Ben has only the entry of the own block.
    assert_eq!([ben.head().await, cat.head().await], [1, 0]);

    // Users without a block can add them, and existing members stay.
    eve.add(&chat, &[&ben, &cat]).await.ok(200);
    let added = ann.add(&chat, &[&ben]).await.ok(200);
    assert_eq!(added["already_members"], json!([ben.id]));
    ben.send(&chat, "hello all the same").await;

    for kind in ["group", "channel"] {
        let make = |members: &[&Person], own: &str| {
            let ids: Vec<_> = members.iter().map(|one| one.id.as_str()).collect();
            json!({"kind": kind, "title": "x", "member_ids": ids, "client_conversation_id": own})
        };
        let own = id();
        for one in [&ben, &cat] {
            let refused = ann.post("/conversations", make(&[one, &ann], &own)).await;
            refused.problem(403, "blocked");
        }
        // The rejected request has not consumed the id.
        let many = [&ben, &cat, &dan];
        let made = ann.post("/conversations", make(&many, &own)).await.ok(201);
        assert_eq!(
            (&made["refused"], &made["member_count"]),
            (&json!(both), &json!(2))
        );
        // A replay returns the same, whatever the blocks are now.
        let path = format!("/me/blocks/{}", ann.id);
        ben.call("DELETE", &path).await.ok(204);
        let again = ann.post("/conversations", make(&many, &own)).await.ok(200);
        assert_eq!(again, made);
        ben.block(&ann).await.ok(204);
    }
    app.finish().await;
}

/// An action that a block would stop has read the blocks and not committed: the block waits for it, so that no such action
/// commits afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn block_waits_for_actions_in_progress() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let chat = ann.group(&[&ben]).await;
    ann.send(&chat, "so that the writer has its connection")
        .await;
    cat.group(&[]).await;
    for (who, adds) in [(&ben, false), (&cat, true)] {
        let (mut holder, mut watcher) = (app.database(), app.database());
        // A row that the transaction writes after its decision.
        let lock = format!(
            "BEGIN; SELECT FROM timelines WHERE user_id = '{}' FOR UPDATE",
            who.id
        );
        execute(&mut holder, &lock);
        let (actor, group, whom) = (ann.clone(), chat.clone(), who.clone());
        let act = tokio::spawn(async move {
            let mut mention = text("look here");
            mention["content"]["mentions"] = json!([whom.id]);
            match adds {
                true => actor.add(&group, &[&whom]).await.ok(200),
                false => actor.post_message(&group, mention).await.ok(201),
            }
        });
        waiting_for_locks(&mut watcher, 1).await;
        let (blocker, actor) = (who.clone(), ann.clone());
        let block = tokio::spawn(async move { blocker.block(&actor).await });
        waiting_for_locks(&mut watcher, 2).await;
        execute(&mut holder, "COMMIT");
        act.await.unwrap();
        block.await.unwrap().ok(204);
    }
    app.finish().await;
}
