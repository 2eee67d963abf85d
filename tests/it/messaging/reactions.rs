//! Reactions: counts, limits, entries, and what a storm of them costs.

use crate::support::{App, Person, eventually, execute, number};
use serde_json::{Value, json};
use std::time::Duration;

const THUMB: &str = "%F0%9F%91%8D";

fn path(chat: &str, seq: i64, emoji: &str) -> String {
    format!("/conversations/{chat}/messages/{seq}/reactions/{emoji}")
}

async fn react(who: &Person, chat: &str, seq: i64, emoji: &str) -> Value {
    who.put(&path(chat, seq, emoji), Value::Null).await.ok(200)
}

async fn withdraw(who: &Person, chat: &str, seq: i64, emoji: &str) -> Value {
    who.call("DELETE", &path(chat, seq, emoji)).await.ok(200)
}

fn count(emoji: &str, count: i64, me: bool) -> Value {
    json!({"emoji": emoji, "count": count, "me": me})
}

#[tokio::test(flavor = "multi_thread")]
async fn reactions_are_a_set_with_counts() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let chat = ann.group(&[&ben, &cat]).await;
    ann.send(&chat, "x").await;
    let before = [ann.head().await, cat.head().await];
    let first = react(&ben, &chat, 1, THUMB).await;
    assert_eq!(
        first,
        json!({"seq": 1, "change_seq": 1, "reactions": [count("👍", 1, true)]})
    );
    // Again: no change, no number, no entry.
    assert_eq!(react(&ben, &chat, 1, THUMB).await, first);
    react(&cat, &chat, 1, THUMB).await;
    react(&cat, &chat, 1, "x").await;
    for (who, me) in [
        (&ann, [false, false]),
        (&ben, [true, false]),
        (&cat, [true, true]),
    ] {
        let expected = json!([count("👍", 2, me[0]), count("x", 1, me[1])]);
        let shown = who
            .get(&format!("/conversations/{chat}/messages/1"))
            .await
            .ok(200);
        assert_eq!(shown["reactions"], expected, "{}", who.name);
        assert_eq!(who.history(&chat, 0).await[0]["reactions"], expected);
        let list = who.get("/conversations").await.ok(200);
        assert_eq!(
            list["conversations"][0]["last_message"]["reactions"],
            expected
        );
        let entries = who.entries(0).await;
        let message = entries.iter().find(|one| one["kind"] == "message").unwrap();
        assert_eq!(message["message"]["reactions"], expected);
        let changed = format!("/conversations/{chat}/messages?changed_since=0");
        let changed = who.get(&changed).await.ok(200);
        assert_eq!(changed["messages"][0]["reactions"], expected);
    }
    let kinds: Vec<_> = ann.entries(before[0]).await;
    assert_eq!(kinds.len(), 3);
    assert!(kinds.iter().all(|one| one["kind"] == "reaction"));
    let page = ann
        .get(&format!("/conversations/{chat}/messages/1/reactions"))
        .await
        .ok(200);
    let users = page["users"].as_array().unwrap();
    assert_eq!(users.len(), 3);
    let path = format!("/conversations/{chat}/messages/1/reactions?emoji={THUMB}&limit=1");
    let first = ann.get(&path).await.ok(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = ann.get(&format!("{path}&cursor={cursor}")).await.ok(200);
    let ids =
        [&first, &second].map(|page| page["users"][0]["user_id"].as_str().unwrap().to_owned());
    let mut expected = [ben.id.clone(), cat.id.clone()];
    expected.sort();
    assert_eq!(ids, expected);
    withdraw(&cat, &chat, 1, THUMB).await;
    let last = withdraw(&cat, &chat, 1, "x").await;
    assert_eq!(last["reactions"], json!([count("👍", 1, false)]));
    assert_eq!(withdraw(&cat, &chat, 1, "x").await, last);
    assert_eq!(last["change_seq"], 5);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reactions_are_limited_and_refused() {
    let (app, [ann, ben, cat, dan, eve]) = App::with(["ann", "ben", "cat", "dan", "eve"]).await;
    let chat = ann.group(&[&ben, &cat, &dan]).await;
    ann.send(&chat, "x").await;
    for (who, letters) in [
        (&ann, "abcde"),
        (&ben, "fghij"),
        (&cat, "klmno"),
        (&dan, "pqrst"),
    ] {
        for letter in letters.chars() {
            react(who, &chat, 1, &letter.to_string()).await;
        }
    }
    // A sixth of one user, and a twenty-first of the message.
    let sixth = ann.put(&path(&chat, 1, "t"), Value::Null).await;
    sixth.problem(409, "limit_reached");
    withdraw(&ann, &chat, 1, "a").await;
    react(&ann, &chat, 1, "t").await;
    withdraw(&ann, &chat, 1, "b").await;
    react(&ann, &chat, 1, "u").await;
    withdraw(&ann, &chat, 1, "u").await;
    react(&ann, &chat, 1, "v").await;
    withdraw(&ben, &chat, 1, "f").await;
    react(&ben, &chat, 1, "w").await;
    withdraw(&ben, &chat, 1, "w").await;
    react(&ben, &chat, 1, "y").await;
    let shown = ann
        .get(&format!("/conversations/{chat}/messages/1"))
        .await
        .ok(200);
    assert_eq!(shown["reactions"].as_array().unwrap().len(), 19);
    for emoji in ["%00", "%0A", "%FF", "%C0%80", &"x".repeat(65)] {
        let bad = ann.put(&path(&chat, 1, emoji), Value::Null).await;
        bad.problem(400, "validation");
    }
    for (who, seq) in [(&eve, 1), (&ann, 2), (&ann, 0)] {
        for method in ["PUT", "DELETE"] {
            let answer = who.call(method, &path(&chat, seq, "x")).await;
            answer.problem(404, "not_found");
        }
    }
    let until = json!({"muted_until": "2100-01-01T00:00:00Z"});
    ann.change(&chat, &ben, until).await.ok(200);
    let muted = ben.put(&path(&chat, 1, "a"), Value::Null).await;
    muted.problem(403, "muted");
    // Taking back one's own is always allowed.
    withdraw(&ben, &chat, 1, "y").await;
    let direct = ann.direct(&eve).await;
    ann.send(&direct, "x").await;
    react(&eve, &direct, 1, "x").await;
    ann.block(&eve).await.ok(204);
    let blocked = eve.put(&path(&direct, 1, "y"), Value::Null).await;
    blocked.problem(403, "blocked");
    withdraw(&eve, &direct, 1, "x").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recall_erases_reactions() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    ann.send(&chat, "x").await;
    react(&ben, &chat, 1, THUMB).await;
    let message = format!("/conversations/{chat}/messages/1");
    let stub = ann.call("DELETE", &message).await.ok(200);
    assert_eq!(stub.get("reactions"), None);
    for method in ["PUT", "DELETE"] {
        let late = ben.call(method, &path(&chat, 1, THUMB)).await;
        late.problem(409, "message_gone");
    }
    let users = ann.get(&format!("{message}/reactions")).await;
    users.problem(409, "message_gone");
    // The rows are deleted soon after.
    let delivery = &app.nodes[0].handles.delivery;
    tideline::domain::messaging::reactions::erase_recalled(delivery).await;
    for table in ["reactions", "erasures"] {
        let rows = format!("SELECT count(*) AS n FROM {table}");
        assert_eq!(number(&mut app.database(), &rows), 0, "{table}");
    }
    app.finish().await;
}

/// An edit keeps the reactions.
#[tokio::test(flavor = "multi_thread")]
async fn edited_message_keeps_its_reactions() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    ann.send(&chat, "x").await;
    react(&ann, &chat, 1, THUMB).await;
    let edit = json!({"version": 1, "content": {"text": "y"}});
    let message = format!("/conversations/{chat}/messages/1");
    let edited = ann.patch(&message, edit).await.ok(200);
    assert_eq!(edited["reactions"], json!([count("👍", 1, true)]));
    let reacted = react(&ben, &chat, 1, THUMB).await;
    assert_eq!(reacted["reactions"], json!([count("👍", 2, true)]));
    assert_eq!(ben.get(&message).await.ok(200)["version"], 2);
    app.finish().await;
}

/// Above the limit only the user who reacts gets entries, and the author at most one a minute.
#[tokio::test(flavor = "multi_thread")]
async fn reactions_in_many_members_tell_the_author() {
    for (fanout, limit) in [(3, 500), (10, 2)] {
        let app = App::configured(|config| {
            config.reaction_fanout = fanout;
            config.fanout_limit = limit;
        })
        .await;
        let [ann, ben, cat, dan] = app.people(["ann", "ben", "cat", "dan"]).await;
        let chat = ann.group(&[&ben, &cat, &dan]).await;
        ben.send(&chat, "x").await;
        let mut before = Vec::new();
        for who in [&ann, &ben, &cat, &dan] {
            before.push(who.head().await);
        }
        for emoji in ["a", "b", "c"] {
            react(&ann, &chat, 1, emoji).await;
            react(&cat, &chat, 1, emoji).await;
        }
        withdraw(&ann, &chat, 1, "a").await;
        for (who, (before, expected)) in [&ann, &ben, &cat, &dan]
            .into_iter()
            .zip(before.iter().zip([4, 1, 3, 0]))
        {
            let entries = who.entries(*before).await;
            assert_eq!(entries.len(), expected, "{} {entries:?}", who.name);
            assert!(entries.iter().all(|one| one["kind"] == "reaction"));
        }
        // A minute later the author learns of the next one.
        execute(
            &mut app.database(),
            "UPDATE message_states SET author_told_at = author_told_at - interval '1 minute'",
        );
        react(&dan, &chat, 1, "a").await;
        assert_eq!(ben.entries(before[1]).await.len(), 2);
        app.finish().await;
    }
}

/// Many users react to one message of a watched channel: each watcher is answered at most every two seconds, and sees the last one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn storm_of_reactions_wakes_watchers_every_two_seconds() {
    let app = App::configured(|config| config.fanout_limit = 2).await;
    let names: Vec<_> = (0..20).map(|n| format!("user{n}")).collect();
    let mut people = Vec::new();
    for name in &names {
        people.push(Person::register(&app.http, &app.url(), name).await);
    }
    let [ann, rest @ ..] = people.as_slice() else {
        panic!("there are twenty");
    };
    let chat = ann.group(&rest.iter().collect::<Vec<_>>()).await;
    ann.send(&chat, "x").await;
    let watcher = people[19].clone();
    let since = watcher.head().await;
    let id = chat.clone();
    let watching = tokio::spawn(async move {
        let (mut change, mut answers) = (0, 0);
        while change < 19 * 4 {
            let path = format!("/notices?since_seq={since}&timeout=10&watch={id}:1:{change}");
            let notice = watcher.get(&path).await.ok(200);
            let Some(one) = notice["watched"].get(0) else {
                continue;
            };
            assert!(one["change_seq"].as_i64().unwrap() > change, "{notice}");
            let path = format!("/conversations/{id}/messages?changed_since={change}");
            change = watcher.get(&path).await.ok(200)["change_seq"]
                .as_i64()
                .unwrap();
            answers += 1;
        }
        answers
    });
    app.asleep(0, 1).await;
    let began = std::time::Instant::now();
    for emoji in ["a", "b", "c", "d"] {
        for who in &people[..19] {
            react(who, &chat, 1, emoji).await;
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
    let answers = tokio::time::timeout(Duration::from_secs(6), watching)
        .await
        .unwrap()
        .unwrap();
    let most = began.elapsed().as_secs_f64() / 2.0 + 2.0;
    assert!(
        f64::from(answers) <= most,
        "{answers} answers, at most {most}"
    );
    assert!(answers > 1);
    let nothing = async || number(&mut app.database(), "SELECT count(*) AS n FROM reactions");
    eventually("all are stored", Duration::from_secs(1), nothing, |n| {
        *n == 76
    })
    .await;
    app.finish().await;
}
