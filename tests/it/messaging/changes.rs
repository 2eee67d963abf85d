//! Messages that change: numbers, recall, edit, `changed_since`, watching changes.
//!
//! This file is long because its tests share the helpers that change messages and read what changed.

use crate::support::{App, Person, execute, id, number, text};
use serde_json::{Value, json};
use std::time::Duration;

fn path(chat: &str, seq: i64) -> String {
    format!("/conversations/{chat}/messages/{seq}")
}

async fn recall(who: &Person, chat: &str, seq: i64) -> Value {
    who.call("DELETE", &path(chat, seq)).await.ok(200)
}

fn edit_body(version: i64, words: &str) -> Value {
    json!({"version": version, "content": {"text": words}})
}

async fn edit(who: &Person, chat: &str, seq: i64, version: i64, words: &str) -> Value {
    let body = edit_body(version, words);
    who.patch(&path(chat, seq), body).await.ok(200)
}

/// Lets the next version of every message be stored now, not after a second.
fn age_edits(app: &App) {
    execute(
        &mut app.database(),
        "UPDATE message_states SET edited_at = edited_at - interval '1 second'",
    );
}

/// The changes after a number, one page.
async fn changes(who: &Person, chat: &str, since: i64) -> Value {
    let path = format!("/conversations/{chat}/messages?changed_since={since}");
    who.get(&path).await.ok(200)
}

fn seqs(page: &Value) -> Vec<i64> {
    let messages = page["messages"].as_array().unwrap().iter();
    messages.map(|one| one["seq"].as_i64().unwrap()).collect()
}

/// Kind, seq of the message or position, and unread count of each entry.
fn summary(entries: &[Value]) -> Vec<(&str, i64, i64)> {
    let number = |value: &Value| value.as_i64().unwrap();
    entries
        .iter()
        .map(|entry| {
            let kind = entry["kind"].as_str().unwrap();
            let about = match kind {
                "read" => number(&entry["read_seq"]),
                _ => number(&entry["message"]["seq"]),
            };
            (kind, about, number(&entry["unread"]))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn recalled_message_is_a_stub_everywhere() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let canary = "canary-7f3a";
    let message = text(canary);
    let sent = ann.post_message(&chat, message.clone()).await.ok(201);
    age_edits(&app);
    edit(&ann, &chat, 1, 1, "canary-7f3a again").await;
    age_edits(&app);
    edit(&ann, &chat, 1, 2, "canary-7f3a for the third time").await;
    ann.send(&chat, "after").await;
    let (ann_before, ben_before) = (ann.head().await, ben.head().await);
    let stub = recall(&ann, &chat, 1).await;
    assert_eq!(stub["kind"], "recalled");
    assert_eq!(stub["content"], json!({}));
    assert_eq!(stub["recalled"]["by"], json!(ann.id));
    for field in ["seq", "id", "sender_id", "client_msg_id", "created_at"] {
        assert_eq!(stub[field], sent[field], "{field}");
    }
    // Again: the same.
    assert_eq!(recall(&ann, &chat, 1).await, stub);
    for (who, before) in [(&ann, ann_before), (&ben, ben_before)] {
        let entries = who.entries(before).await;
        let recalls: Vec<_> = entries
            .iter()
            .filter(|one| one["kind"] == "recall")
            .collect();
        assert_eq!(recalls.len(), 1);
        assert_eq!(recalls[0]["message"], stub);
        // No answer has the content: the old entries, the archive, the list, the versions.
        for path in [
            "/inbox?since_seq=0&limit=500".to_owned(),
            format!("/conversations/{chat}/messages"),
            format!("/conversations/{chat}/messages?changed_since=0"),
            path(&chat, 1),
            "/conversations".to_owned(),
        ] {
            let body = who.get(&path).await.ok(200).to_string();
            assert!(!body.contains(canary), "{path}: {body}");
        }
        let versions = who.get(&format!("{}/versions", path(&chat, 1))).await;
        versions.problem(409, "message_gone");
    }
    // A repeated send gets the stub, whatever it carries, and stores nothing.
    for repeated in [
        message.clone(),
        json!({"client_msg_id": message["client_msg_id"], "kind": "text", "content": {"text": "other"}}),
    ] {
        let again = ann.post_message(&chat, repeated).await;
        assert_eq!(again.header("idempotent-replayed"), "true");
        assert_eq!(again.ok(200), stub);
    }
    // A change of what is gone.
    let late = ann.patch(&path(&chat, 1), edit_body(3, "x")).await;
    late.problem(409, "message_gone");
    let rows = "SELECT count(*) AS n FROM messages WHERE content::text LIKE '%canary%'";
    assert_eq!(number(&mut app.database(), rows), 0);
    let rows = "SELECT count(*) AS n FROM message_versions";
    assert_eq!(number(&mut app.database(), rows), 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recall_leaves_no_count_without_a_message() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let chat = ann.group(&[&ben, &cat]).await;
    ann.send(&chat, "one").await;
    let (ben_before, cat_before) = (ben.head().await, cat.head().await);
    recall(&ann, &chat, 1).await;
    // Only message recalled unread: no count. The mark comes first, for clients that do not know recalls.
    assert_eq!(
        summary(&ben.entries(ben_before).await),
        [("read", 1, 0), ("recall", 1, 0)]
    );
    assert_eq!(ben.total().await, 0);
    for words in ["two", "three", "four", "five"] {
        ann.send(&chat, words).await;
    }
    recall(&ann, &chat, 3).await;
    assert_eq!(ben.total().await, 4);
    // The run of recalled ones after it is passed too.
    recall(&ann, &chat, 2).await;
    assert_eq!(ben.total().await, 2);
    // So it is by a mark.
    recall(&ann, &chat, 5).await;
    let mark = ben.read(&chat, 4).await;
    assert_eq!((&mark["read_seq"], &mark["unread"]), (&json!(5), &json!(0)));
    let entries = cat.entries(cat_before).await;
    assert_eq!(summary(&entries).last(), Some(&("recall", 5, 2)));
    assert_eq!(cat.total().await, 2);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_recall_what() {
    let app = App::configured(|config| config.recall_seconds = 60).await;
    let [owner, admin, ben, cat, eve] = app.people(["owner", "admin", "ben", "cat", "eve"]).await;
    let chat = owner.group(&[&admin, &ben, &cat]).await;
    owner
        .change(&chat, &admin, json!({"role": "admin"}))
        .await
        .ok(200);
    let all = [&owner, &admin, &ben, &cat];
    for (round, one) in all.into_iter().enumerate() {
        for (sent, _) in all.into_iter().zip(0..) {
            let words = format!("{round} of {}", sent.name);
            sent.send(&chat, &words).await;
        }
        for (at, author) in (1..).zip(all) {
            let seq = i64::try_from(round * 4 + at).unwrap();
            let may = one.id == author.id
                || one.id == owner.id
                || one.id == admin.id && author.id != owner.id;
            let answer = one.call("DELETE", &path(&chat, seq)).await;
            match may {
                true => drop(answer.ok(200)),
                false => drop(answer.problem(403, "forbidden")),
            }
        }
    }
    // Not theirs to see: the same answer as for a message that does not exist.
    for (who, seq) in [(&eve, 1), (&ben, 99), (&ben, 0), (&ben, -1)] {
        let answer = who.call("DELETE", &path(&chat, seq)).await;
        answer.problem(404, "not_found");
        let answer = who.patch(&path(&chat, seq), edit_body(1, "x")).await;
        answer.problem(404, "not_found");
    }
    // After the time for it only those who moderate.
    let seq = ben.send(&chat, "late").await["seq"].as_i64().unwrap();
    let old = "UPDATE messages SET created_at = created_at - interval '61 seconds'";
    execute(&mut app.database(), old);
    let late = ben.call("DELETE", &path(&chat, seq)).await;
    late.problem(403, "window_closed");
    recall(&admin, &chat, seq).await;
    // Recalled already: its sender gets the stub.
    recall(&ben, &chat, seq).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edit_replaces_the_content_once() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let message = text("helo");
    let sent = ann.post_message(&chat, message.clone()).await.ok(201);
    assert_eq!(sent.get("version"), None);
    let before = ben.head().await;
    let edited = edit(&ann, &chat, 1, 1, "hello").await;
    assert_eq!(edited["content"]["text"], "hello");
    assert_eq!(
        (&edited["version"], &edited["change_seq"]),
        (&json!(2), &json!(1))
    );
    let entries = ben.entries(before).await;
    assert_eq!(summary(&entries), [("edit", 1, 1)]);
    assert_eq!(entries[0]["message"], edited);
    // A lost answer: the same edit again, also after the time for it.
    let again = ann.patch(&path(&chat, 1), edit_body(1, "hello")).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.ok(200), edited);
    // Another device edits the same version.
    let other = ann.patch(&path(&chat, 1), edit_body(1, "hi")).await;
    let conflict = other.problem(409, "version_conflict");
    assert_eq!(conflict["message"], edited);
    // Too soon, with the general rate limit off.
    let soon = ann.patch(&path(&chat, 1), edit_body(2, "hello!")).await;
    assert!(soon.header("retry-after").parse::<u64>().unwrap() <= 1);
    soon.problem(429, "rate_limited");
    age_edits(&app);
    edit(&ann, &chat, 1, 2, "hello!").await;
    // The lost edit again, after a later one: never a revert.
    let late = ann.patch(&path(&chat, 1), edit_body(1, "hello")).await;
    late.problem(409, "version_conflict");
    // No change takes no number.
    let same = edit(&ann, &chat, 1, 3, "hello!").await;
    assert_eq!(
        (&same["version"], &same["change_seq"]),
        (&json!(3), &json!(2))
    );
    // A repeated send is compared with what was sent, and answered with what is.
    let repeated = ann.post_message(&chat, message.clone()).await.ok(200);
    assert_eq!(repeated["content"]["text"], "hello!");
    let wrong = json!({"client_msg_id": message["client_msg_id"], "kind": "text", "content": {"text": "hello!"}});
    let wrong = ann.post_message(&chat, wrong).await;
    wrong.problem(422, "client_msg_id_reused");
    let versions = ben
        .get(&format!("{}/versions", path(&chat, 1)))
        .await
        .ok(200);
    let texts = |versions: &Value| -> Vec<String> {
        let all = versions["versions"].as_array().unwrap().iter();
        all.map(|one| format!("{} {}", one["version"], one["content"]["text"]))
            .collect()
    };
    assert_eq!(
        texts(&versions),
        ["1 \"helo\"", "2 \"hello\"", "3 \"hello!\""]
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_edits_change_nothing() {
    let app = App::configured(|config| config.edit_seconds = 60).await;
    let [ann, ben, cat] = app.people(["ann", "ben", "cat"]).await;
    let chat = ann.group(&[&ben]).await;
    ben.send(&chat, "mine").await;
    let emoji = json!({"client_msg_id": id(), "kind": "emoji", "content": {"emoji": "👍"}});
    ben.post_message(&chat, emoji).await.ok(201);
    let direct = ann.direct(&ben).await;
    ben.send(&direct, "mine").await;
    let head = ben.head().await;
    let by_other = ann.patch(&path(&chat, 1), edit_body(1, "x")).await;
    by_other.problem(403, "forbidden");
    let outside = cat.patch(&path(&chat, 1), edit_body(1, "x")).await;
    outside.problem(404, "not_found");
    for (seq, body, pointer) in [
        (
            1,
            json!({"version": 0, "content": {"text": "x"}}),
            "/version",
        ),
        (
            1,
            json!({"version": 1, "content": {"text": ""}}),
            "/content/text",
        ),
        (
            1,
            json!({"version": 1, "content": {"emoji": "x"}}),
            "/content",
        ),
        (1, json!({"version": 1, "content": []}), "/content"),
        (
            2,
            json!({"version": 1, "content": {"emoji": "x"}}),
            "/content",
        ),
    ] {
        let problem = ben
            .patch(&path(&chat, seq), body)
            .await
            .problem(400, "validation");
        let at = problem["errors"][0]["pointer"].as_str().unwrap();
        assert!(at.starts_with(pointer), "{problem}");
    }
    for version in [2, i64::from(i32::MAX), 9_007_199_254_740_991] {
        let future = ben.patch(&path(&chat, 1), edit_body(version, "x")).await;
        future.problem(409, "version_conflict");
    }
    for seq in [i64::MAX - 2, i64::MAX, 9_007_199_254_740_992] {
        let beyond = ann.call("DELETE", &path(&chat, seq)).await;
        beyond.problem(404, "not_found");
    }
    let mute = |until: &str| json!({"muted_until": until});
    ann.change(&chat, &ben, mute("2100-01-01T00:00:00Z"))
        .await
        .ok(200);
    let muted = ben.patch(&path(&chat, 1), edit_body(1, "x")).await;
    muted.problem(403, "muted");
    ann.change(&chat, &ben, json!({"muted_until": null}))
        .await
        .ok(200);
    ann.block(&ben).await.ok(204);
    let blocked = ben.patch(&path(&direct, 1), edit_body(1, "x")).await;
    blocked.problem(403, "blocked");
    // Taking back one's own is always allowed.
    recall(&ben, &direct, 1).await;
    let old = "UPDATE messages SET created_at = created_at - interval '61 seconds'";
    execute(&mut app.database(), old);
    let late = ben.patch(&path(&chat, 1), edit_body(1, "x")).await;
    late.problem(403, "window_closed");
    let kinds: Vec<_> = ben.entries(head).await;
    assert!(kinds.iter().all(|one| one["kind"] != "edit"));
    assert_eq!(ben.conversation(&chat).await.ok(200)["change_seq"], 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_has_at_most_a_hundred_versions() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    ann.send(&chat, "x").await;
    edit(&ann, &chat, 1, 1, "y").await;
    let many =
        "UPDATE message_states SET version = 100, edited_at = edited_at - interval '1 second'";
    execute(&mut app.database(), many);
    let more = ann.patch(&path(&chat, 1), edit_body(100, "z")).await;
    more.problem(409, "limit_reached");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_since_brings_each_changed_message_once() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    for n in 1..=10 {
        ann.send(&chat, &format!("{n}")).await;
    }
    let page = ann
        .get(&format!("/conversations/{chat}/messages"))
        .await
        .ok(200);
    assert_eq!(page["change_seq"], 0);
    for (seq, version) in [(3, 1), (5, 1), (7, 1), (3, 2)] {
        age_edits(&app);
        edit(&ann, &chat, seq, version, &format!("new {version}")).await;
    }
    recall(&ann, &chat, 1).await;
    let all = changes(&ben, &chat, 0).await;
    // In the order of their last changes.
    assert_eq!(seqs(&all), [5, 7, 3, 1]);
    assert_eq!(
        (&all["change_seq"], &all["last_seq"], &all["has_more"]),
        (&json!(5), &json!(10), &json!(false))
    );
    let (mut since, mut paged) = (0, Vec::new());
    loop {
        let path = format!("/conversations/{chat}/messages?changed_since={since}&limit=1");
        let page = ben.get(&path).await.ok(200);
        paged.extend(seqs(&page));
        since = page["change_seq"].as_i64().unwrap();
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!((paged, since), (vec![5, 7, 3, 1], 5));
    let none = changes(&ben, &chat, 5).await;
    assert_eq!((seqs(&none), &none["change_seq"]), (vec![], &json!(5)));
    let since = |more: &str| format!("/conversations/{chat}/messages?changed_since={more}");
    let ahead = ben.get(&since("6")).await.problem(409, "cursor_ahead");
    assert_eq!(ahead["last_seq"], 10);
    let epoch = ben.get(&since(&format!("0&epoch={}", id()))).await;
    epoch.problem(409, "epoch_changed");
    for query in ["-1", "x", "0&since_seq=0", "0&before_seq=3"] {
        ben.get(&since(query)).await.problem(400, "validation");
    }
    let path = format!("/conversations/{chat}/messages?epoch={}", id());
    ben.get(&path).await.problem(400, "validation");
    app.finish().await;
}

/// An inbox that was trimmed has no entry of the changes: the list and `changed_since` bring them.
#[tokio::test(flavor = "multi_thread")]
async fn device_that_was_away_for_a_month_converges() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    for n in 1..=200 {
        ann.send(&chat, &format!("{n}")).await;
    }
    let path = format!("/conversations/{chat}/messages?since_seq=0&limit=500");
    let first = ben.get(&path).await.ok(200);
    let mut cached = first["messages"].as_array().unwrap().clone();
    let noted = first["change_seq"].as_i64().unwrap();
    for round in 1..=3 {
        age_edits(&app);
        for seq in (1..=200).step_by(4) {
            edit(&ann, &chat, seq, round, &format!("new {round}")).await;
        }
    }
    for seq in (1..=200).step_by(8) {
        recall(&ann, &chat, seq).await;
    }
    execute(&mut app.database(), "DELETE FROM inbox");
    ben.get("/inbox?since_seq=1")
        .await
        .problem(410, "inbox_trimmed");
    let (mut since, mut pages) = (noted, 0);
    loop {
        let page = changes(&ben, &chat, since).await;
        for message in page["messages"].as_array().unwrap() {
            let index = usize::try_from(message["seq"].as_i64().unwrap()).unwrap() - 1;
            cached[index] = message.clone();
        }
        since = page["change_seq"].as_i64().unwrap();
        pages += 1;
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!(pages, 1, "each message once, however often it changed");
    let fresh = ben.get(&path).await.ok(200);
    assert_eq!(&json!(cached), &fresh["messages"]);
    assert_eq!(fresh["change_seq"], since);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn watch_with_a_change_number_wakes_on_changes() {
    let mut app = App::configured(|config| config.fanout_limit = 2).await;
    app.add_node().await;
    let [ann, ben, cat] = app.people(["ann", "ben", "cat"]).await;
    let chat = ann.group(&[&ben, &cat]).await;
    ann.send(&chat, "one").await;
    let since = ben.head().await;
    let ben = ben.at(&format!("http://{}", app.nodes[1].address));
    let watch = |parts: &str| {
        let path = format!("/notices?since_seq={since}&timeout=20&watch={chat}:{parts}");
        let ben = ben.clone();
        tokio::spawn(async move { ben.get(&path).await.ok(200) })
    };
    let changes_too = watch("1:0");
    app.asleep(1, 1).await;
    edit(&ann, &chat, 1, 1, "uno").await;
    let notice = tokio::time::timeout(Duration::from_secs(3), changes_too).await;
    let notice = notice.unwrap().unwrap();
    assert_eq!(
        notice["watched"],
        json!([{"conversation_id": chat, "last_seq": 1, "change_seq": 1, "reads_moved": false}])
    );
    // The next wait: nothing new. Then one from before the recall: it wakes immediately.
    let quiet = watch("1:1");
    app.asleep(1, 1).await;
    recall(&ann, &chat, 1).await;
    quiet.await.unwrap();
    // Without the third part, changes do not wake, and messages do.
    let messages_only = watch("1");
    app.asleep(1, 1).await;
    ann.send(&chat, "two").await;
    let notice = messages_only.await.unwrap();
    assert_eq!(notice["watched"][0]["last_seq"], 2);
    for (parts, status, code) in [
        ("1:9", 409, "cursor_ahead"),
        ("1:x", 400, "validation"),
        ("1:-1", 400, "validation"),
        ("1:1:1", 400, "validation"),
    ] {
        let path = format!("/notices?since_seq={since}&timeout=0&watch={chat}:{parts}");
        ben.get(&path).await.problem(status, code);
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_conversation_tells_only_the_author() {
    let app = App::configured(|config| config.fanout_limit = 2).await;
    let [ann, ben, cat] = app.people(["ann", "ben", "cat"]).await;
    let chat = ann.group(&[&ben, &cat]).await;
    ben.send(&chat, "one").await;
    ben.send(&chat, "two").await;
    let before = [ann.head().await, ben.head().await, cat.head().await];
    edit(&ben, &chat, 1, 1, "uno").await;
    recall(&ann, &chat, 1).await;
    assert!(ann.entries(before[0]).await.is_empty());
    assert_eq!(summary(&ben.entries(before[1]).await), [("recall", 1, 0)]);
    assert!(cat.entries(before[2]).await.is_empty());
    // No position slides by itself: the stub counts until the next mark.
    assert_eq!(cat.total().await, 2);
    assert_eq!(cat.read(&chat, 0).await["unread"], 1);
    let page = changes(&cat, &chat, 0).await;
    assert_eq!(page["messages"][0]["kind"], "recalled");
    app.finish().await;
}

/// Entries stay readable after leaving, as of then. A recall holds for everyone.
#[tokio::test(flavor = "multi_thread")]
async fn former_member_sees_messages_as_of_leaving() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let chat = ann.group(&[&ben, &cat]).await;
    ann.send(&chat, "a1").await;
    ann.send(&chat, "b1").await;
    let of_cat = text("c1");
    cat.post_message(&chat, of_cat.clone()).await.ok(201);
    edit(&ann, &chat, 1, 1, "a2").await;
    edit(&cat, &chat, 3, 1, "c2").await;
    cat.remove(&chat, &cat).await.ok(204);
    age_edits(&app);
    let left = "UPDATE former_members SET left_at = left_at - interval '0.5 seconds'";
    execute(&mut app.database(), left);
    edit(&ann, &chat, 1, 2, "a3").await;
    edit(&ann, &chat, 2, 1, "b2").await;
    let shown = async || {
        let entries = cat.entries(0).await;
        let messages = entries.iter().filter(|one| one["kind"] == "message");
        messages
            .map(|one| {
                one["message"]["content"]["text"]
                    .as_str()
                    .unwrap_or("gone")
                    .to_owned()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(shown().await, ["a2", "b1", "c2"]);
    let again = cat.post_message(&chat, of_cat.clone()).await.ok(200);
    assert_eq!(again["content"]["text"], "c2");
    // A member who returns sees no more of the time before.
    ann.add(&chat, &[&cat]).await.ok(200);
    assert_eq!(shown().await, ["a2", "b1", "c2"]);
    recall(&ann, &chat, 1).await;
    assert_eq!(shown().await, ["gone", "b1", "c2"]);
    // The recall of a message of before is not an entry of who cannot see it.
    let kinds = cat.entries(0).await;
    assert!(kinds.iter().all(|one| one["kind"] != "recall"));
    cat.get(&path(&chat, 2)).await.problem(404, "not_found");
    assert!(seqs(&changes(&cat, &chat, 0).await).is_empty());
    // Nor what was changed while the user was away, after leaving again.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    edit(&ann, &chat, 2, 2, "b3").await;
    cat.remove(&chat, &cat).await.ok(204);
    assert_eq!(shown().await, ["gone", "b1", "c2"]);
    app.finish().await;
}

/// A page of changes ends at the head that was read with the membership: its reader may have left before a later change.
#[tokio::test(flavor = "multi_thread")]
async fn page_of_changes_ends_at_the_head_before_it() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    ann.send(&chat, "one").await;
    ann.send(&chat, "two").await;
    edit(&ann, &chat, 1, 1, "uno").await;
    // The statement of the head returns, and that of the page waits for the table.
    let mut database = app.database();
    execute(
        &mut database,
        "BEGIN; LOCK TABLE message_states IN ACCESS EXCLUSIVE MODE",
    );
    let path = format!("/conversations/{chat}/messages?changed_since=0");
    let page = async { ben.get(&path).await.ok(200) };
    let change = async {
        crate::support::waiting_for_locks(&mut database, 1).await;
        execute(
            &mut database,
            "INSERT INTO message_states (conversation_id, seq, change_seq, version, content, length, edited_at)
             SELECT conversation_id, 2, 2, 2, content, length, edited_at FROM message_states;
             UPDATE conversations SET change_seq = 2;
             COMMIT",
        );
    };
    let (page, ()) = tokio::join!(page, change);
    assert_eq!((seqs(&page), &page["change_seq"]), (vec![1], &json!(1)));
    // The next page has it.
    let page = changes(&ben, &chat, 1).await;
    assert_eq!((seqs(&page), &page["change_seq"]), (vec![2], &json!(2)));
    app.finish().await;
}

/// A member who leaves between the two statements of a page reads no version from after leaving.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn page_shows_no_change_from_after_leaving() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    for query in ["", "/1", "?seqs=1"] {
        let chat = ann.group(&[&ben]).await;
        ann.send(&chat, "first").await;
        let path = format!("/conversations/{chat}/messages{query}");
        let mut database = app.database();
        execute(
            &mut database,
            "BEGIN; LOCK TABLE message_states IN ACCESS EXCLUSIVE MODE",
        );
        let reader = ben.clone();
        let reading = tokio::spawn(async move { reader.get(&path).await });
        // The membership is read, and the states of messages are not.
        tokio::time::sleep(Duration::from_millis(200)).await;
        ann.remove(&chat, &ben).await.ok(204);
        let edit = format!(
            "UPDATE conversations SET change_seq = change_seq + 1 WHERE id = '{chat}';
             INSERT INTO message_states (conversation_id, seq, change_seq, version, content, length, edited_at)
             SELECT id, 1, change_seq, 2, '{{\"text\": \"second\"}}', 18, clock_timestamp() FROM conversations WHERE id = '{chat}'
             ON CONFLICT (conversation_id, seq) DO UPDATE SET change_seq = excluded.change_seq; COMMIT"
        );
        execute(&mut database, &edit);
        let answer = reading.await.unwrap();
        let body = answer.body.to_string();
        assert!(!body.contains("second"), "{body}");
    }
    app.finish().await;
}
