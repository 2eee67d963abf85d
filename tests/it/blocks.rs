//! Blocks: what they stop, and what not.

use crate::support::{App, execute, id, text};
use futures_util::future::join_all;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_block_stops_direct_sends_both_ways_and_nothing_else() {
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
    // In a batch too, item by item, replays first.
    let batch = json!({"messages": [first, text("x")]});
    let path = format!("/conversations/{chat}/messages/batch");
    let results = ben.post(&path, batch).await.ok(200)["results"].clone();
    assert_eq!(
        (&results[0]["status"], &results[1]["problem"]["code"]),
        (&json!(200), &json!("blocked"))
    );
    // What was said stays readable, the conversation stays found, the group goes on, and nobody is told.
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
    assert_eq!(cat.head().await, 0);

    // It ends when both have ended theirs.
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
async fn blocks_are_listed_in_pages_up_to_their_limit() {
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

    // Two at once do not both take the last place.
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
    // Who is blocked already needs no room.
    let again = format!("/me/blocks/{}", others[0].id);
    ann.put(&again, Value::Null).await.ok(204);
    app.finish().await;
}

/// A block and a new conversation of the same two, at once: whichever is first, nothing is sent afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_and_a_new_conversation_do_not_miss_each_other() {
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
