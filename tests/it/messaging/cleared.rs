//! What one member alone does with a conversation: mark it as unread, clear its history.

use crate::support::{App, Person, execute, text};
use serde_json::{Value, json};

async fn mark_unread(who: &Person, chat: &str) {
    let path = format!("/conversations/{chat}/marked_unread");
    who.put(&path, Value::Null).await.ok(204);
}

async fn me(who: &Person, chat: &str) -> Value {
    who.conversation(chat).await.ok(200)["me"].clone()
}

/// Position, mark and unread count of each `read` entry after a position.
async fn reads(who: &Person, since: i64) -> Vec<(i64, bool, i64)> {
    let entries = who.entries(since).await.into_iter();
    entries
        .filter(|entry| entry["kind"] == "read")
        .map(|entry| {
            (
                entry["read_seq"].as_i64().unwrap(),
                entry["marked_unread"].as_bool().unwrap(),
                entry["unread"].as_i64().unwrap(),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn mark_as_unread_moves_no_position() {
    for fanout_limit in [500, 1] {
        let app = App::configured(|config| config.fanout_limit = fanout_limit).await;
        let [ann, ben] = app.people(["ann", "ben"]).await;
        let chat = ann.group(&[&ben]).await;
        for words in ["one", "two", "three"] {
            ben.send(&chat, words).await;
        }
        ann.read(&chat, 2).await;
        let (before, of_ben) = (ann.head().await, ben.head().await);
        mark_unread(&ann, &chat).await;
        mark_unread(&ann, &chat).await;
        let marked = me(&ann, &chat).await;
        assert_eq!(
            (
                &marked["marked_unread"],
                &marked["read_seq"],
                &marked["unread"]
            ),
            (&json!(true), &json!(2), &json!(1))
        );
        assert_eq!(ann.total().await, 1);
        // A read mark ends it, also at a position that is reached already.
        assert_eq!(ann.read(&chat, 1).await["read_seq"], 2);
        assert_eq!(me(&ann, &chat).await["marked_unread"], false);
        mark_unread(&ann, &chat).await;
        ann.read(&chat, 3).await;
        assert_eq!(
            reads(&ann, before).await,
            [(2, true, 1), (2, false, 1), (2, true, 1), (3, false, 0)]
        );
        // So does an own message, without an entry.
        mark_unread(&ann, &chat).await;
        let marked = ann.head().await;
        ann.send(&chat, "four").await;
        assert_eq!(me(&ann, &chat).await["marked_unread"], false);
        assert!(reads(&ann, marked).await.is_empty());
        // A message of another person does not.
        mark_unread(&ann, &chat).await;
        ben.send(&chat, "five").await;
        assert_eq!(me(&ann, &chat).await["marked_unread"], true);
        assert!(reads(&ben, of_ben).await.is_empty());
        assert_eq!(me(&ben, &chat).await["marked_unread"], false);
        app.finish().await;
    }
}

/// A position that slides over a recalled message is not read: the mark stays.
#[tokio::test(flavor = "multi_thread")]
async fn recall_keeps_the_mark() {
    let (app, [ann, ben, eve]) = App::with(["ann", "ben", "eve"]).await;
    let chat = ann.group(&[&ben]).await;
    mark_unread(&ann, &chat).await;
    ben.send(&chat, "one").await;
    let before = ann.head().await;
    let path = format!("/conversations/{chat}/messages/1");
    ben.call("DELETE", &path).await.ok(200);
    assert_eq!(reads(&ann, before).await, [(1, true, 0)]);
    let now = me(&ann, &chat).await;
    assert_eq!(
        (&now["marked_unread"], &now["unread"]),
        (&json!(true), &json!(0))
    );
    let path = format!("/conversations/{chat}/marked_unread");
    eve.put(&path, Value::Null).await.problem(404, "not_found");
    // A new membership has no mark.
    ann.add(&chat, &[&eve]).await.ok(200);
    mark_unread(&eve, &chat).await;
    eve.remove(&chat, &eve).await.ok(204);
    ann.add(&chat, &[&eve]).await.ok(200);
    assert_eq!(me(&eve, &chat).await["marked_unread"], false);
    mark_unread(&eve, &chat).await;
    app.finish().await;
}

pub(super) async fn clear(who: &Person, chat: &str, seq: i64) {
    let path = format!("/conversations/{chat}/cleared");
    who.put(&path, json!({"seq": seq})).await.ok(204);
}

pub(super) fn seqs(messages: &Value) -> Vec<i64> {
    let messages = messages["messages"].as_array().unwrap().iter();
    messages.map(|one| one["seq"].as_i64().unwrap()).collect()
}

/// Position and unread count of each `cleared` entry after a position.
async fn cleared(who: &Person, since: i64) -> Vec<(i64, i64)> {
    let entries = who.entries(since).await.into_iter();
    entries
        .filter(|entry| entry["kind"] == "cleared")
        .map(|entry| {
            (
                entry["cleared_seq"].as_i64().unwrap(),
                entry["unread"].as_i64().unwrap(),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn cleared_history_is_in_no_answer_and_counts_as_read() {
    for fanout_limit in [500, 1] {
        let app = App::configured(|config| config.fanout_limit = fanout_limit).await;
        let [ann, ben] = app.people(["ann", "ben"]).await;
        let chat = ann.group(&[&ben]).await;
        for n in 1..=6 {
            ben.send(&chat, &format!("{n}")).await;
        }
        ben.call("DELETE", &format!("/conversations/{chat}/messages/2"))
            .await
            .ok(200);
        let before = [ann.head().await, ben.head().await];
        mark_unread(&ann, &chat).await;
        clear(&ann, &chat, 3).await;
        // It moves forward only.
        clear(&ann, &chat, 3).await;
        clear(&ann, &chat, 1).await;
        let shown = ann.conversation(&chat).await.ok(200);
        assert_eq!(
            (&shown["first_seq"], &shown["last_seq"]),
            (&json!(4), &json!(6))
        );
        let own = &shown["me"];
        assert_eq!(
            (
                &own["cleared_seq"],
                &own["joined_seq"],
                &own["read_seq"],
                &own["unread"],
                &own["marked_unread"]
            ),
            (&json!(3), &json!(0), &json!(3), &json!(3), &json!(false))
        );
        assert_eq!(ann.total().await, 3);
        let messages = format!("/conversations/{chat}/messages");
        for (query, expected) in [
            ("", vec![4, 5, 6]),
            ("?since_seq=0", vec![4, 5, 6]),
            ("?since_seq=4", vec![5, 6]),
            ("?before_seq=5", vec![4]),
            ("?before_seq=4", vec![]),
            ("?changed_since=0", vec![]),
        ] {
            let page = ann.get(&format!("{messages}{query}")).await.ok(200);
            assert_eq!(
                (seqs(&page), &page["has_more"]),
                (expected, &json!(false)),
                "{query}"
            );
        }
        ann.get(&format!("{messages}/3"))
            .await
            .problem(404, "not_found");
        ann.get(&format!("{messages}/3/versions"))
            .await
            .problem(404, "not_found");
        ann.get(&format!("{messages}/4")).await.ok(200);
        let ahead = ann.get(&format!("{messages}?since_seq=9")).await;
        assert_eq!(ahead.problem(409, "cursor_ahead")["first_seq"], 4);
        // A later change of what is cleared is no entry.
        let edit = json!({"version": 1, "content": {"text": "new"}});
        ben.patch(&format!("{messages}/3"), edit).await.ok(200);
        ben.call("DELETE", &format!("{messages}/1")).await.ok(200);
        let kinds: Vec<_> = ann.entries(before[0]).await;
        assert!(
            kinds
                .iter()
                .all(|one| one["kind"] != "edit" && one["kind"] != "recall")
        );
        // Others see everything, and learn nothing.
        assert_eq!(ben.history(&chat, 0).await.len(), 6);
        assert!(cleared(&ben, before[1]).await.is_empty());
        // Below the read position: the position stays.
        ann.read(&chat, 6).await;
        clear(&ann, &chat, 5).await;
        clear(&ann, &chat, 6).await;
        let shown = ann.conversation(&chat).await.ok(200);
        assert_eq!(
            (
                &shown["first_seq"],
                &shown["me"]["read_seq"],
                &shown["last_message"]
            ),
            (&json!(7), &json!(6), &Value::Null)
        );
        assert_eq!(cleared(&ann, before[0]).await, [(3, 3), (5, 0), (6, 0)]);
        ben.send(&chat, "7").await;
        let shown = ann.conversation(&chat).await.ok(200);
        assert_eq!(
            (&shown["last_message"]["seq"], &shown["me"]["unread"]),
            (&json!(7), &json!(1))
        );
        app.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clearing_slides_over_recalled_messages() {
    let (app, [ann, ben, eve]) = App::with(["ann", "ben", "eve"]).await;
    let chat = ann.direct(&ben).await;
    for n in 1..=4 {
        ben.send(&chat, &format!("{n}")).await;
    }
    ben.call("DELETE", &format!("/conversations/{chat}/messages/3"))
        .await
        .ok(200);
    let before = ann.head().await;
    clear(&ann, &chat, 2).await;
    let shown = ann.conversation(&chat).await.ok(200);
    assert_eq!(
        (&shown["first_seq"], &shown["me"]["read_seq"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(cleared(&ann, before).await, [(2, 1)]);
    let path = format!("/conversations/{chat}/cleared");
    for (body, pointer) in [
        (json!({}), "/seq"),
        (json!({"seq": -1}), "/seq"),
        (json!({"seq": 5}), "/seq"),
        (json!({"seq": "1"}), "/seq"),
        (json!({"seq": 1, "more": 1}), "/more"),
    ] {
        let problem = ann.put(&path, body).await.problem(400, "validation");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let outside = eve.put(&path, json!({"seq": 99})).await;
    outside.problem(404, "not_found");
    assert_eq!(ann.head().await, before + 1);
    app.finish().await;
}

/// Every combination in one batch: each member's row is updated once, with all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn marks_of_one_batch_are_merged() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    for n in 1..=3 {
        ben.send(&chat, &format!("{n}")).await;
    }
    let mut conn = app.database();
    for round in 0..10 {
        // The commands gather while the conversation is locked.
        execute(
            &mut conn,
            &format!("BEGIN; SELECT FROM conversations WHERE id = '{chat}' FOR UPDATE"),
        );
        let unlock = async {
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
            execute(&mut conn, "ROLLBACK");
        };
        let recalled = format!("/conversations/{chat}/messages/{}", 3 + round * 2);
        tokio::join!(
            ben.send(&chat, "more"),
            clear(&ann, &chat, 1 + round),
            ann.read(&chat, 2 + round),
            mark_unread(&ann, &chat),
            ben.call("DELETE", &recalled),
            ann.send(&chat, "own"),
            unlock,
        );
        let shown = ann.conversation(&chat).await.ok(200);
        assert_eq!(shown["me"]["cleared_seq"], 1 + round);
        assert_eq!(ann.total().await, shown["me"]["unread"].as_i64().unwrap());
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reply_to_a_cleared_message_names_nobody() {
    let app = App::start().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let chat = ann.group(&[&ben]).await;
    ann.send(&chat, "one").await;
    let mut reply = text("two");
    reply["reply_to"] = json!(1);
    ben.post_message(&chat, reply).await.ok(201);
    clear(&ann, &chat, 1).await;
    let page = ann.get(&format!("/conversations/{chat}/messages")).await;
    let shown = [
        page.ok(200)["messages"][0].clone(),
        ann.conversation(&chat).await.ok(200)["last_message"].clone(),
    ];
    for message in shown {
        assert_eq!(message["reply_to"], json!({"seq": 1, "sender_id": null}));
        assert_eq!(message.get("root_seq"), None);
    }
    app.finish().await;
}

/// The same in pages of the inbox and in the list of mentions, which has no cleared message.
#[tokio::test(flavor = "multi_thread")]
async fn reply_to_a_cleared_message_names_nobody_in_inbox_and_mentions() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let chat = ann.group(&[&ben, &cat]).await;
    let since = ann.head().await;
    let naming = |words: &str| {
        let mut message = text(words);
        message["content"]["mentions"] = json!([ann.id]);
        message
    };
    cat.post_message(&chat, naming("first")).await.ok(201);
    let mut reply = naming("second");
    reply["reply_to"] = json!(1);
    ben.post_message(&chat, reply).await.ok(201);
    let shown = async || {
        let entries = ann.entries(since).await;
        let mut messages = entries.into_iter().map(|entry| entry["message"].clone());
        let of_inbox = messages.rfind(|one| one["seq"] == 2).unwrap();
        let mentions = ann.get("/mentions").await.ok(200)["mentions"].clone();
        (of_inbox["reply_to"].clone(), mentions)
    };
    let (reply_to, mentions) = shown().await;
    assert_eq!(reply_to, json!({"seq": 1, "sender_id": cat.id}));
    assert_eq!(mentions.as_array().unwrap().len(), 2);
    clear(&ann, &chat, 1).await;
    let (reply_to, mentions) = shown().await;
    assert_eq!(reply_to, json!({"seq": 1, "sender_id": null}));
    let mentions = mentions.as_array().unwrap();
    assert_eq!(mentions.len(), 1, "{mentions:?}");
    assert_eq!(mentions[0]["message"]["reply_to"], reply_to);
    app.finish().await;
}
