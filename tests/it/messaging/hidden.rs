//! Messages that one member has hidden.

use crate::messaging::cleared::{clear, seqs};
use crate::support::{App, Person, execute, number, text};
use serde_json::json;

async fn hide(who: &Person, chat: &str, seqs: &[i64]) {
    let path = format!("/conversations/{chat}/hidden");
    who.put(&path, json!({"seqs": seqs})).await.ok(204);
}

/// The seqs of the `hidden` entries after a position.
async fn hidden(who: &Person, since: i64) -> Vec<i64> {
    let entries = who.entries(since).await.into_iter();
    entries
        .filter(|entry| entry["kind"] == "hidden")
        .map(|entry| entry["hidden_seq"].as_i64().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_message_is_a_stub_in_every_answer() {
    for fanout_limit in [500, 1] {
        let app = App::configured(|config| config.fanout_limit = fanout_limit).await;
        let [ann, ben] = app.people(["ann", "ben"]).await;
        let chat = ann.group(&[&ben]).await;
        ben.send(&chat, "one").await;
        let mut canary = text("canary-51c2");
        canary["content"]["mentions"] = json!([ann.id]);
        let sent = ben.post_message(&chat, canary).await.ok(201);
        let messages = format!("/conversations/{chat}/messages");
        let edit =
            |version: i64, words: &str| json!({"version": version, "content": {"text": words}});
        let edited = ben
            .patch(&format!("{messages}/2"), edit(1, "canary-51c2 again"))
            .await
            .ok(200);
        let before = [ann.head().await, ben.head().await];
        hide(&ann, &chat, &[2]).await;
        // Again, in another order: one entry each.
        hide(&ann, &chat, &[2, 1, 2]).await;
        assert_eq!(hidden(&ann, before[0]).await, [2, 1]);
        for entry in ann.entries(before[0]).await {
            assert_eq!(entry["unread"], 2, "{entry}");
        }
        assert_eq!(ann.total().await, 2);
        let stub = ann.get(&format!("{messages}/2")).await.ok(200);
        assert_eq!(
            (&stub["kind"], &stub["content"]),
            (&json!("hidden"), &json!({}))
        );
        for field in ["seq", "id", "sender_id", "client_msg_id", "created_at"] {
            assert_eq!(stub[field], sent[field], "{field}");
        }
        // The number of its last change stays, so that an older state of it is not shown again.
        assert_eq!(stub["change_seq"], edited["change_seq"]);
        assert_eq!((stub.get("version"), stub.get("edited_at")), (None, None));
        // So it is in pages, changes, the list, and entries of before and after.
        ben.send(&chat, "three").await;
        execute(
            &mut app.database(),
            "UPDATE message_states SET edited_at = edited_at - interval '1 second'",
        );
        ben.patch(&format!("{messages}/2"), edit(2, "canary-51c2 once more"))
            .await
            .ok(200);
        hide(&ann, &chat, &[3]).await;
        let page = ann.get(&messages).await.ok(200);
        assert_eq!(seqs(&page), [1, 2, 3]);
        for message in page["messages"].as_array().unwrap() {
            assert_eq!(message["kind"], "hidden");
        }
        let changed = ann
            .get(&format!("{messages}?changed_since=0"))
            .await
            .ok(200);
        assert_eq!(
            (seqs(&changed), &changed["messages"][0]["kind"]),
            (vec![2], &json!("hidden"))
        );
        let shown = ann.conversation(&chat).await.ok(200);
        assert_eq!(
            (
                &shown["last_message"]["seq"],
                &shown["last_message"]["kind"]
            ),
            (&json!(3), &json!("hidden"))
        );
        for path in [
            "/inbox?since_seq=0&limit=500".to_owned(),
            "/conversations".to_owned(),
            "/conversations?order=id".to_owned(),
            format!("/conversations/{chat}"),
            messages.clone(),
            format!("{messages}?since_seq=1"),
            format!("{messages}?before_seq=3"),
            format!("{messages}?changed_since=0"),
            format!("{messages}/2"),
        ] {
            let body = ann.get(&path).await.ok(200).to_string();
            assert!(
                !body.contains("canary") && !body.contains("three"),
                "{path}: {body}"
            );
        }
        let versions = ann.get(&format!("{messages}/2/versions")).await;
        versions.problem(409, "message_gone");
        let conflict = ann.patch(&format!("{messages}/2"), edit(7, "x")).await;
        let conflict = conflict.problem(409, "version_conflict");
        assert_eq!(conflict["message"]["kind"], "hidden");
        // Others see everything, and learn nothing.
        assert!(hidden(&ben, before[1]).await.is_empty());
        let there = ben.history(&chat, 0).await;
        assert_eq!(there[1]["content"]["text"], "canary-51c2 once more");
        // A recalled one stays hidden, and the caller still changes own messages.
        ann.send(&chat, "own").await;
        hide(&ann, &chat, &[4]).await;
        ann.patch(&format!("{messages}/4"), edit(1, "mine"))
            .await
            .ok(200);
        let recalled = ann.call("DELETE", &format!("{messages}/4")).await.ok(200);
        assert_eq!(recalled["kind"], "recalled");
        assert_eq!(
            ann.get(&format!("{messages}/4")).await.ok(200)["kind"],
            "hidden"
        );
        app.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_seqs_are_not_hidden() {
    let (app, [ann, ben, cat, eve]) = App::with(["ann", "ben", "cat", "eve"]).await;
    let chat = ann.group(&[&ben]).await;
    for n in 1..=3 {
        ann.send(&chat, &format!("{n}")).await;
    }
    ann.add(&chat, &[&cat]).await.ok(200);
    ann.send(&chat, "4").await;
    let path = format!("/conversations/{chat}/hidden");
    let head = cat.head().await;
    let many: Vec<_> = (1..=101).collect();
    for (body, pointer) in [
        (json!({}), "/seqs"),
        (json!({"seqs": []}), "/seqs"),
        (json!({"seqs": many}), "/seqs"),
        (json!({"seqs": [1, 0]}), "/seqs/1"),
        (json!({"seqs": [-1]}), "/seqs/0"),
        (json!({"seqs": [4, 5]}), "/seqs"),
        (json!({"seqs": ["1"]}), "/seqs/0"),
        (json!({"seqs": 1}), "/seqs"),
        (json!({"seqs": [1], "more": 1}), "/more"),
    ] {
        let problem = cat.put(&path, body).await.problem(400, "validation");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    // Those of before joining are not visible: nothing to hide.
    hide(&cat, &chat, &[1, 3]).await;
    assert_eq!(cat.head().await, head);
    eve.put(&path, json!({"seqs": [1]}))
        .await
        .problem(404, "not_found");
    eve.put(&path, json!({"seqs": [99]}))
        .await
        .problem(404, "not_found");
    assert_eq!(
        number(
            &mut app.database(),
            "SELECT count(*) AS n FROM hidden_messages"
        ),
        0
    );
    // What was hidden in another conversation is nothing here.
    let other = ann.group(&[&cat]).await;
    ann.send(&other, "1").await;
    hide(&cat, &other, &[1]).await;
    assert_eq!(cat.history(&chat, 0).await[0]["kind"], "text");
    // What was hidden stays so in the inbox of a former member, and of one who returns.
    hide(&cat, &chat, &[4]).await;
    let shown = async || {
        let entries = cat.entries(0).await.into_iter();
        let of = entries.filter(|one| one["kind"] == "message" && one["conversation_id"] == *chat);
        of.map(|one| one["message"]["kind"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(shown().await, ["hidden"]);
    cat.remove(&chat, &cat).await.ok(204);
    assert_eq!(shown().await, ["hidden"]);
    ann.add(&chat, &[&cat]).await.ok(200);
    ann.send(&chat, "5").await;
    assert_eq!(
        seqs(
            &cat.get(&format!("/conversations/{chat}/messages"))
                .await
                .ok(200)
        ),
        [5]
    );
    assert_eq!(shown().await, ["hidden", "text"]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clearing_makes_room_for_hidden_messages() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    for n in 1..=4 {
        ben.send(&chat, &format!("canary-{n}")).await;
    }
    hide(&ann, &chat, &[1, 2, 3]).await;
    let full = "UPDATE conversation_settings SET hides = hides + 9997";
    execute(&mut app.database(), full);
    let path = format!("/conversations/{chat}/hidden");
    let refused = ann.put(&path, json!({"seqs": [4]})).await;
    refused.problem(409, "limit_reached");
    assert_eq!(ann.history(&chat, 0).await[3]["kind"], "text");
    // One that is hidden already needs no room.
    hide(&ann, &chat, &[3]).await;
    let free = "UPDATE conversation_settings SET hides = hides - 9997";
    execute(&mut app.database(), free);
    clear(&ann, &chat, 2).await;
    let rows = "SELECT count(*) AS n FROM hidden_messages";
    assert_eq!(number(&mut app.database(), rows), 1);
    let hides = "SELECT hides::bigint AS n FROM conversation_settings";
    assert_eq!(number(&mut app.database(), hides), 1);
    clear(&ann, &chat, 3).await;
    assert_eq!(number(&mut app.database(), hides), 0);
    // Older entries do not bring back what was hidden or cleared.
    let entries = ann.entries(0).await;
    let kinds: Vec<_> = entries
        .iter()
        .filter(|entry| entry["kind"] == "message")
        .map(|entry| entry["message"]["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["hidden", "hidden", "hidden", "text"]);
    hide(&ann, &chat, &[4]).await;
    assert_eq!(number(&mut app.database(), hides), 1);
    app.finish().await;
}

/// Hides and clears of two devices while messages come and the member leaves: the world check has the last word.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hiding_against_clearing_and_leaving() {
    let mut app = App::start().await;
    app.add_node().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let there = ben.at(&format!("http://{}", app.nodes[1].address));
    let chat = ann.group(&[&ben]).await;
    for round in 0..15 {
        let path = format!("/conversations/{chat}");
        let mut head = 0;
        for _ in 0..3 {
            head = ann.send(&chat, "x").await["seq"].as_i64().unwrap();
        }
        let hides = async {
            for seq in [head - 2, head - 1, head] {
                let body = json!({"seqs": [seq]});
                let answer = there.put(&format!("{path}/hidden"), body).await;
                assert!([204, 404].contains(&answer.status), "{}", answer.body);
            }
        };
        let clears = async {
            for seq in [head - 2, head - 1] {
                let body = json!({"seq": seq});
                let answer = ben.put(&format!("{path}/cleared"), body).await;
                assert!([204, 404].contains(&answer.status), "{}", answer.body);
            }
        };
        let leaves = async {
            if round % 3 == 2 {
                ben.remove(&chat, &ben).await.ok(204);
            }
        };
        tokio::join!(hides, clears, leaves, ann.send(&chat, "y"));
        ann.add(&chat, &[&ben]).await.ok(200);
    }
    app.finish().await;
}
