//! Replies and mentions: quotes die with a recall, counts are exact, and nobody is notified twice.

use crate::support::{App, Person, execute, id, text};
use serde_json::{Value, json};

fn reply(to: i64, words: &str) -> Value {
    let mut message = text(words);
    message["reply_to"] = json!(to);
    message
}

fn naming(words: &str, users: &[&Person]) -> Value {
    let ids: Vec<_> = users.iter().map(|one| one.id.as_str()).collect();
    json!({"client_msg_id": id(), "kind": "text", "content": {"text": words, "mentions": ids}})
}

fn all(words: &str) -> Value {
    let mut message = text(words);
    message["mention_all"] = json!(true);
    message
}

fn at(chat: &str, seq: i64) -> String {
    format!("/conversations/{chat}/messages/{seq}")
}

/// The unread mentions of a conversation, which three answers agree on.
async fn mentions(who: &Person, chat: &str) -> i64 {
    let one = who.conversation(chat).await.ok(200)["me"]["unread_mentions"]
        .as_i64()
        .unwrap();
    let list = who.get("/conversations").await.ok(200);
    let listed = list["conversations"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["id"] == chat);
    assert_eq!(listed.unwrap()["me"]["unread_mentions"], one);
    let unread = who.get("/unread?mentions=true").await.ok(200);
    let counted = unread["conversations"].as_array().unwrap().iter();
    let counted: Vec<_> = counted
        .map(|one| {
            (
                one["conversation_id"].clone(),
                one["mentions"].as_i64().unwrap(),
            )
        })
        .collect();
    let here = counted
        .iter()
        .find(|(id, _)| id == chat)
        .map_or(0, |(_, n)| *n);
    assert_eq!(here, one);
    let sum: i64 = counted.iter().map(|(_, n)| n).sum();
    assert_eq!(unread["total_mentions"], sum);
    one
}

async fn rings(who: &Person, since: i64) -> usize {
    let entries = who.entries(since).await;
    entries
        .iter()
        .filter(|one| one["kind"] == "mention")
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn reply_brings_the_quoted_message_as_it_is_now() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    ann.send(&chat, "question").await;
    let before = ann.head().await;
    let answer = reply(1, "answer");
    let stored = ben.post_message(&chat, answer.clone()).await.ok(201);
    assert_eq!(stored["reply_to"], json!({"seq": 1, "sender_id": ann.id}));
    assert_eq!(stored["root_seq"], 1);
    assert_eq!(stored.get("change_seq"), None);
    assert_eq!(
        ben.post_message(&chat, answer.clone()).await.ok(200),
        stored
    );
    // The reference is a part of what a repeat is compared by.
    let mut other = answer.clone();
    other.as_object_mut().unwrap().remove("reply_to");
    ben.post_message(&chat, other)
        .await
        .problem(422, "client_msg_id_reused");
    assert_eq!(rings(&ann, before).await, 1);
    ann.post_message(&chat, reply(2, "thanks")).await.ok(201);
    let replies = ann.get(&format!("{}/replies", at(&chat, 1))).await.ok(200);
    let seqs: Vec<_> = replies["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["seq"].clone())
        .collect();
    assert_eq!(seqs, [2, 3]);
    let paged = ann
        .get(&format!("{}/replies?since_seq=2&limit=1", at(&chat, 1)))
        .await
        .ok(200);
    assert_eq!(paged["messages"][0]["seq"], 3);
    let path = format!("/conversations/{chat}/messages?since_seq=1&with_replied=true");
    let page = ben.get(&path).await.ok(200);
    assert_eq!(
        page["replied"].as_array().unwrap().len(),
        1,
        "3 quotes 2, which is in the page"
    );
    assert_eq!(page["replied"][0]["content"]["text"], "question");
    let some = ben
        .get(&format!("/conversations/{chat}/messages?seqs=3,1,99"))
        .await
        .ok(200);
    assert_eq!(some["messages"].as_array().unwrap().len(), 2);
    // A quote dies with the recall.
    ann.call("DELETE", &at(&chat, 1)).await.ok(200);
    let page = ben.get(&path).await.ok(200);
    assert_eq!(page["replied"][0]["kind"], "recalled");
    assert_eq!(page["replied"][0]["content"], json!({}));
    // A repeat after it is answered all the same, a new reply is refused, and nothing is stored.
    ben.post_message(&chat, answer).await.ok(200);
    for to in [1, 99, 0] {
        let refused = ben.post_message(&chat, reply(to, "x")).await;
        let problem = refused.problem(400, "validation");
        assert_eq!(problem["errors"][0]["pointer"], "/reply_to");
    }
    let batch = json!({"messages": [text("x"), reply(1, "x")]});
    let results = ben
        .post(&format!("/conversations/{chat}/messages/batch"), batch)
        .await
        .ok(200);
    assert_eq!(
        results["results"][1]["problem"]["errors"][0]["pointer"],
        "/messages/1/reply_to"
    );
    for query in [
        "seqs=x",
        "seqs=1&limit=3",
        "seqs=1&changed_since=0",
        "changed_since=0&with_replied=true",
    ] {
        let bad = ben
            .get(&format!("/conversations/{chat}/messages?{query}"))
            .await;
        bad.problem(400, "validation");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_member_learns_nothing_of_what_was_before() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let chat = ann.group(&[&ben]).await;
    ann.send(&chat, "before").await;
    ann.add(&chat, &[&cat]).await.ok(200);
    ben.post_message(&chat, reply(1, "answer")).await.ok(201);
    let shown = cat.get(&at(&chat, 2)).await.ok(200);
    assert_eq!(shown["reply_to"], json!({"seq": 1, "sender_id": null}));
    assert_eq!(shown.get("root_seq"), None);
    assert_eq!(
        cat.history(&chat, 0).await[0]["reply_to"]["sender_id"],
        Value::Null
    );
    let entries = cat.entries(0).await;
    let entry = entries.iter().find(|one| one["kind"] == "message").unwrap();
    assert_eq!(entry["message"]["reply_to"]["sender_id"], Value::Null);
    let path = format!("/conversations/{chat}/messages?with_replied=true");
    assert_eq!(cat.get(&path).await.ok(200)["replied"], json!([]));
    cat.get(&format!("{}/replies", at(&chat, 1)))
        .await
        .problem(404, "not_found");
    let some = cat
        .get(&format!("/conversations/{chat}/messages?seqs=1,2"))
        .await
        .ok(200);
    assert_eq!(some["messages"].as_array().unwrap().len(), 1);
    let refused = cat.post_message(&chat, reply(1, "x")).await;
    refused.problem(400, "validation");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mentions_are_counted_exactly_and_ring_once() {
    for limit in [500, 2] {
        let app = App::configured(|config| config.fanout_limit = limit).await;
        let [ann, ben, cat] = app.people(["ann", "ben", "cat"]).await;
        let chat = ann.group(&[&ben, &cat]).await;
        let before = ben.head().await;
        ann.post_message(&chat, naming("one", &[&ben]))
            .await
            .ok(201);
        ann.post_message(&chat, all("two")).await.ok(201);
        let mut both = naming("three", &[&ben]);
        both["mention_all"] = json!(true);
        ann.post_message(&chat, both).await.ok(201);
        assert_eq!(
            mentions(&ben, &chat).await,
            3,
            "by name and with all counts once"
        );
        assert_eq!(mentions(&cat, &chat).await, 2);
        assert_eq!(mentions(&ann, &chat).await, 0, "her own");
        // In a large conversation only those named have an entry.
        assert_eq!(rings(&ben, before).await, if limit == 500 { 3 } else { 2 });
        let listed = ben.get("/mentions?limit=1").await.ok(200);
        assert_eq!(listed["mentions"][0]["seq"], 3);
        let next = listed["next_cursor"].as_str().unwrap();
        let listed = ben.get(&format!("/mentions?before={next}")).await.ok(200);
        let texts = listed["mentions"].as_array().unwrap().iter();
        let texts: Vec<_> = texts
            .map(|one| one["message"]["content"]["text"].as_str().unwrap())
            .collect();
        let is_small = limit == 500;
        assert_eq!(
            texts,
            if is_small {
                vec!["two", "one"]
            } else {
                vec!["one"]
            }
        );
        assert_eq!(listed["next_cursor"], Value::Null);
        // An edit un-names, names another, names again: one ring for each person.
        let edit = async |version: i64, users: &[&Person]| {
            execute(
                &mut app.database(),
                "UPDATE message_states SET edited_at = edited_at - interval '1 second'",
            );
            let content = naming(&format!("one, {version}"), users)["content"].clone();
            ann.patch(
                &at(&chat, 1),
                json!({"version": version, "content": content}),
            )
            .await
            .ok(200);
        };
        let (ben_before, cat_before) = (ben.head().await, cat.head().await);
        edit(1, &[&cat]).await;
        assert_eq!(
            (mentions(&ben, &chat).await, mentions(&cat, &chat).await),
            (2, 3)
        );
        edit(2, &[&ben, &cat]).await;
        assert_eq!(
            (mentions(&ben, &chat).await, mentions(&cat, &chat).await),
            (3, 3)
        );
        edit(3, &[]).await;
        edit(4, &[&cat]).await;
        assert_eq!(
            (rings(&ben, ben_before).await, rings(&cat, cat_before).await),
            (0, 1)
        );
        // A recall lowers the counts.
        ann.call("DELETE", &at(&chat, 1)).await.ok(200);
        ann.call("DELETE", &at(&chat, 2)).await.ok(200);
        assert_eq!(
            (mentions(&ben, &chat).await, mentions(&cat, &chat).await),
            (1, 1)
        );
        // Nor does one count that the user has hidden.
        let hidden = format!("/conversations/{chat}/hidden");
        ben.put(&hidden, json!({"seqs": [3]})).await.ok(204);
        assert_eq!(mentions(&ben, &chat).await, 0);
        cat.read(&chat, 3).await;
        assert_eq!(mentions(&cat, &chat).await, 0);
        app.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everyone_is_named_by_few_or_by_those_who_moderate() {
    let app = App::configured(|config| config.mention_all_limit = 2).await;
    let [ann, ben, cat] = app.people(["ann", "ben", "cat"]).await;
    let chat = ann.group(&[&ben, &cat]).await;
    let refused = ben.post_message(&chat, all("x")).await;
    refused.problem(403, "forbidden");
    ann.post_message(&chat, all("x")).await.ok(201);
    let direct = ben.direct(&cat).await;
    ben.post_message(&direct, all("x")).await.ok(201);
    // Blocks hold for mentions of every kind.
    let before = ben.head().await;
    ben.block(&cat).await.ok(204);
    ben.send(&chat, "mine").await;
    cat.post_message(&chat, reply(2, "x")).await.ok(201);
    cat.post_message(&chat, naming("x", &[&ben])).await.ok(201);
    cat.patch(
        &at(&chat, 3),
        json!({"version": 1, "content": {"text": "y"}}),
    )
    .await
    .ok(200);
    ann.change(&chat, &cat, json!({"role": "admin"}))
        .await
        .ok(200);
    cat.post_message(&chat, all("x")).await.ok(201);
    assert_eq!(rings(&ben, before).await, 0);
    assert_eq!(mentions(&ben, &chat).await, 0);
    let counts = ben.get("/unread?mentions=true").await.ok(200);
    assert_eq!(counts["total_mentions"], 0);
    app.finish().await;
}

/// Who has an entry because a message names everyone gets no other one when an edit names the same person.
#[tokio::test(flavor = "multi_thread")]
async fn edit_of_a_message_to_everyone_rings_nobody() {
    for (limit, expected) in [(500, 1), (2, 1)] {
        let app = App::configured(|config| config.fanout_limit = limit).await;
        let [ann, ben, cat] = app.people(["ann", "ben", "cat"]).await;
        let chat = ann.group(&[&ben, &cat]).await;
        let before = ben.head().await;
        ann.post_message(&chat, all("x")).await.ok(201);
        let content = naming("y", &[&ben])["content"].clone();
        ann.patch(&at(&chat, 1), json!({"version": 1, "content": content}))
            .await
            .ok(200);
        assert_eq!(rings(&ben, before).await, expected);
        assert_eq!(mentions(&ben, &chat).await, 1);
        execute(
            &mut app.database(),
            "UPDATE message_states SET edited_at = edited_at - interval '1 second'",
        );
        let content = json!({"version": 2, "content": {"text": "z"}});
        ann.patch(&at(&chat, 1), content).await.ok(200);
        assert_eq!(mentions(&ben, &chat).await, 1, "it still names everyone");
        app.finish().await;
    }
}
