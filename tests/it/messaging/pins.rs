//! Pinned messages.

use crate::support::{App, Person, execute, number};
use serde_json::{Value, json};

fn path(chat: &str, seq: i64) -> String {
    format!("/conversations/{chat}/pins/{seq}")
}

async fn pin(who: &Person, chat: &str, seq: i64) {
    who.put(&path(chat, seq), Value::Null).await.ok(204);
}

async fn unpin(who: &Person, chat: &str, seq: i64) {
    who.call("DELETE", &path(chat, seq)).await.ok(204);
}

/// The pinned messages, by seq, and the number of changes.
async fn pins(who: &Person, chat: &str) -> (Vec<i64>, i64) {
    let list = who
        .get(&format!("/conversations/{chat}/pins"))
        .await
        .ok(200);
    let seqs = list["messages"].as_array().unwrap().iter();
    let seqs = seqs.map(|one| one["seq"].as_i64().unwrap()).collect();
    (seqs, list["change_seq"].as_i64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn pinned_messages_are_listed_newest_pin_first() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.group(&[&ben]).await;
    for words in ["one", "two", "three"] {
        ben.send(&chat, words).await;
    }
    let before = [ann.head().await, ben.head().await];
    pin(&ann, &chat, 2).await;
    pin(&ann, &chat, 1).await;
    // Again: no number, no entry.
    pin(&ann, &chat, 2).await;
    unpin(&ann, &chat, 3).await;
    assert_eq!(pins(&ben, &chat).await, (vec![1, 2], 2));
    for (who, before) in [&ann, &ben].into_iter().zip(before) {
        let entries = who.entries(before).await;
        let seqs: Vec<_> = entries.iter().map(|one| &one["message"]["seq"]).collect();
        assert_eq!(seqs, [2, 1]);
        for entry in &entries {
            assert_eq!(entry["kind"], "pin");
            assert_eq!(entry["message"]["pinned"]["by"], ann.id);
        }
    }
    let message = format!("/conversations/{chat}/messages/2");
    let shown = ben.get(&message).await.ok(200);
    assert_eq!(shown["pinned"]["by"], ann.id);
    assert_eq!(shown["change_seq"], 1);
    // An edit keeps the pin, and a pin the version.
    let edit = json!({"version": 1, "content": {"text": "2"}});
    let edited = ben.patch(&message, edit).await.ok(200);
    assert_eq!(edited["pinned"], shown["pinned"]);
    unpin(&ann, &chat, 2).await;
    let shown = ben.get(&message).await.ok(200);
    assert_eq!((shown.get("pinned"), &shown["version"]), (None, &json!(2)));
    assert_eq!(pins(&ben, &chat).await, (vec![1], 4));
    let changed = format!("/conversations/{chat}/messages?changed_since=2");
    let changed = ben.get(&changed).await.ok(200);
    assert_eq!(changed["messages"][0], shown);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recall_ends_the_pin() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    ann.send(&chat, "x").await;
    // In a direct conversation both people pin.
    pin(&ben, &chat, 1).await;
    let message = format!("/conversations/{chat}/messages/1");
    let stub = ann.call("DELETE", &message).await.ok(200);
    assert_eq!(stub.get("pinned"), None);
    assert_eq!(pins(&ben, &chat).await, (vec![], 2));
    for method in ["PUT", "DELETE"] {
        let late = ben.call(method, &path(&chat, 1)).await;
        late.problem(409, "message_gone");
    }
    app.finish().await;
}

/// Of people who block each other nobody pins, and both may take a pin back.
#[tokio::test(flavor = "multi_thread")]
async fn blocked_person_only_unpins() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    ann.send(&chat, "x").await;
    ann.send(&chat, "y").await;
    pin(&ben, &chat, 1).await;
    ann.block(&ben).await.ok(204);
    for who in [&ann, &ben] {
        let late = who.put(&path(&chat, 2), Value::Null).await;
        late.problem(403, "blocked");
    }
    unpin(&ben, &chat, 1).await;
    app.finish().await;
}

/// A large conversation has no entries of pins: members who watch its changes learn of them.
#[tokio::test(flavor = "multi_thread")]
async fn pin_in_large_conversation_wakes_watchers() {
    let app = App::configured(|config| config.fanout_limit = 2).await;
    let [ann, ben, cat] = app.people(["ann", "ben", "cat"]).await;
    let chat = ann.group(&[&ben, &cat]).await;
    ben.send(&chat, "x").await;
    let head = ben.head().await;
    let path = format!("/notices?since_seq={head}&timeout=20&watch={chat}:1:0");
    let (notice, ()) = tokio::join!(ben.get(&path), async {
        app.asleep(0, 1).await;
        pin(&ann, &chat, 1).await;
    });
    assert_eq!(notice.ok(200)["watched"][0]["change_seq"], 1);
    assert_eq!((ben.head().await, ann.head().await), (head, 1));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conversation_has_at_most_100_pins() {
    let (app, [ann]) = App::with(["ann"]).await;
    let chat = ann.group(&[]).await;
    for _ in 0..102 {
        ann.send(&chat, "x").await;
    }
    for seq in 1..=100 {
        pin(&ann, &chat, seq).await;
    }
    // A pinned one is answered again.
    pin(&ann, &chat, 100).await;
    let more = ann.put(&path(&chat, 101), Value::Null).await;
    more.problem(409, "limit_reached");
    let recalled = format!("/conversations/{chat}/messages/1");
    ann.call("DELETE", &recalled).await.ok(200);
    // Of two that arrive together, one has the free place.
    let (first, second) = (path(&chat, 101), path(&chat, 102));
    let (one, other) = tokio::join!(ann.put(&first, Value::Null), ann.put(&second, Value::Null));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 409]);
    assert_eq!(pins(&ann, &chat).await.0.len(), 100);
    app.finish().await;
}

/// A member sees pins of messages above the join, and hidden ones as stubs; a former member sees no pin.
#[tokio::test(flavor = "multi_thread")]
async fn pins_show_what_their_reader_may_see() {
    let (app, [ann, ben, cat, eve]) = App::with(["ann", "ben", "cat", "eve"]).await;
    let chat = ann.group(&[&cat]).await;
    ann.send(&chat, "before").await;
    ann.add(&chat, &[&ben]).await.ok(200);
    ann.send(&chat, "canary-1f0a").await;
    let head = ben.head().await;
    pin(&ann, &chat, 1).await;
    assert_eq!(ben.head().await, head);
    pin(&ann, &chat, 2).await;
    assert_eq!(pins(&ann, &chat).await.0, [2, 1]);
    assert_eq!(pins(&ben, &chat).await.0, [2]);
    let hidden = format!("/conversations/{chat}/hidden");
    ben.put(&hidden, json!({"seqs": [2]})).await.ok(204);
    let list = format!("/conversations/{chat}/pins");
    let shown = ben.get(&list).await.ok(200);
    assert_eq!(shown["messages"][0]["kind"], "hidden");
    assert!(!shown.to_string().contains("canary"));
    let below = ben.put(&path(&chat, 1), Value::Null).await;
    below.problem(404, "not_found");
    cat.remove(&chat, &cat).await.ok(204);
    for who in [&cat, &eve] {
        who.get(&list).await.problem(404, "not_found");
    }
    for entry in cat.entries(0).await {
        assert_eq!(entry["message"].get("pinned"), None, "{entry}");
    }
    app.finish().await;
}

/// Pins, ends of pins and a recall of the same message in one batch.
#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_pin_in_one_batch_are_merged() {
    let app = App::configured(|config| config.writers = 1).await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let chat = ann.group(&[&ben]).await;
    for round in 1..=10 {
        ann.send(&chat, "x").await;
        // The lock makes the commands wait for each other.
        let mut conn = app.database();
        execute(&mut conn, "BEGIN");
        let lock = format!("SELECT FROM conversations WHERE id = '{chat}' FOR UPDATE");
        execute(&mut conn, &lock);
        let path = path(&chat, round);
        let message = format!("/conversations/{chat}/messages/{round}");
        let release = async {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            execute(&mut conn, "COMMIT");
        };
        tokio::join!(
            ann.put(&path, Value::Null),
            ann.call("DELETE", &path),
            ann.put(&path, Value::Null),
            async {
                if round % 2 == 0 {
                    ann.call("DELETE", &message).await.ok(200);
                }
            },
            release
        );
    }
    let stored = number(&mut app.database(), "SELECT count(*) AS n FROM pins");
    assert_eq!(pins(&ben, &chat).await.0.len() as i64, stored);
    app.finish().await;
}
