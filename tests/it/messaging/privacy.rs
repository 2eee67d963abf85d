//! Nobody learns of messages that they may not see: not an outsider, not a former member, and not a member who joined after them.
//!
//! This file is long because its tests share the tables of all requests that show or take a message.

use crate::support::requests::{Scene, operations};
use crate::support::{Answer, App, Person, eventually, execute, id, text, tomorrow};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tideline::domain::messaging::scheduled;

/// Requests about one message: method, path, body. `{own}` is a group of the caller, `{new}` an id that is not stored.
const OF_MESSAGE: &[(&str, &str, &str)] = &[
    ("GET", "/conversations/{id}/messages/{seq}", ""),
    ("GET", "/conversations/{id}/messages/{seq}/versions", ""),
    ("GET", "/conversations/{id}/messages/{seq}/replies", ""),
    ("GET", "/conversations/{id}/messages/{seq}/reactions", ""),
    ("GET", "/conversations/{id}/messages/{seq}/receipts", ""),
    (
        "PATCH",
        "/conversations/{id}/messages/{seq}",
        r#"{"version": 7, "content": {"text": "x"}}"#,
    ),
    ("DELETE", "/conversations/{id}/messages/{seq}", ""),
    (
        "PUT",
        "/conversations/{id}/messages/{seq}/reactions/{emoji}",
        "",
    ),
    (
        "DELETE",
        "/conversations/{id}/messages/{seq}/reactions/{emoji}",
        "",
    ),
    ("GET", "/conversations/{id}/messages/{seq}/media", ""),
    ("PUT", "/conversations/{id}/pins/{seq}", ""),
    ("DELETE", "/conversations/{id}/pins/{seq}", ""),
    (
        "POST",
        "/conversations/{own}/messages",
        r#"{"client_msg_id": "{new}", "forward": {"conversation_id": "{id}", "seq": {seq}}}"#,
    ),
    (
        "POST",
        "/conversations",
        r#"{"kind": "group", "title": "x", "client_conversation_id": "{new}", "parent": {"conversation_id": "{id}", "seq": {seq}}}"#,
    ),
];

/// Requests about a conversation, with those about its messages all that the document has.
const OF_CONVERSATION: &[(&str, &str, &str)] = &[
    ("GET", "/conversations/{id}", ""),
    ("PUT", "/conversations/{id}/typing", r#"{"typing": true}"#),
    ("PATCH", "/conversations/{id}", r#"{"title": "x"}"#),
    ("GET", "/conversations/{id}/avatar", ""),
    ("GET", "/search/messages?q=before&conversation_id={id}", ""),
    ("GET", "/conversations/{id}/members", ""),
    (
        "POST",
        "/conversations/{id}/members",
        r#"{"user_ids": ["{user_id}"]}"#,
    ),
    (
        "PATCH",
        "/conversations/{id}/members/{user_id}",
        r#"{"role": "admin"}"#,
    ),
    ("DELETE", "/conversations/{id}/members/{user_id}", ""),
    ("GET", "/conversations/{id}/bans", ""),
    ("PUT", "/conversations/{id}/bans/{user_id}", ""),
    ("DELETE", "/conversations/{id}/bans/{user_id}", ""),
    ("GET", "/conversations/{id}/messages", ""),
    (
        "GET",
        "/conversations/{id}/messages?since_seq=0&with_replied=true",
        "",
    ),
    ("GET", "/conversations/{id}/messages?since_seq=99", ""),
    ("GET", "/conversations/{id}/messages?before_seq=9", ""),
    ("GET", "/conversations/{id}/messages?seqs=1,2", ""),
    ("GET", "/conversations/{id}/messages?changed_since=0", ""),
    ("GET", "/conversations/{id}/messages?changed_since=99", ""),
    (
        "POST",
        "/conversations/{id}/messages",
        r#"{"client_msg_id": "{new}", "kind": "text", "content": {"text": "x"}, "reply_to": 1}"#,
    ),
    (
        "POST",
        "/conversations/{id}/messages/batch",
        r#"{"messages": [{"client_msg_id": "{new}", "kind": "text", "content": {"text": "x"}}]}"#,
    ),
    ("GET", "/conversations/{id}/pins", ""),
    ("PUT", "/conversations/{id}/read", r#"{"seq": 1}"#),
    ("PUT", "/conversations/{id}/read", r#"{"seq": 99}"#),
    ("PUT", "/conversations/{id}/marked_unread", ""),
    ("PUT", "/conversations/{id}/cleared", r#"{"seq": 1}"#),
    ("PUT", "/conversations/{id}/cleared", r#"{"seq": 99}"#),
    ("PUT", "/conversations/{id}/hidden", r#"{"seqs": [1]}"#),
    ("PUT", "/conversations/{id}/hidden", r#"{"seqs": [99]}"#),
    (
        "PATCH",
        "/conversations/{id}/settings",
        r#"{"hidden_through": 1}"#,
    ),
    (
        "PATCH",
        "/conversations/{id}/settings",
        r#"{"hidden_through": 99}"#,
    ),
    (
        "PUT",
        "/conversations/{id}/draft",
        r#"{"version": 0, "content": {"text": "x"}, "after_seq": 1}"#,
    ),
    ("DELETE", "/conversations/{id}/draft?version=1", ""),
    (
        "PUT",
        "/me/scheduled/{new}",
        r#"{"conversation_id": "{id}", "send_at": "2000-01-01T00:00:00Z", "kind": "text", "content": {"text": "x"}}"#,
    ),
    ("GET", "/notices?since_seq=0&timeout=0&watch={id}:0", ""),
    ("GET", "/notices?since_seq=0&timeout=0&watch={id}:0:0", ""),
    ("GET", "/notices?since_seq=0&timeout=0&watch={id}:99:99", ""),
];

/// What a reader has of its own, besides the answers about a conversation.
const OWN: &[&str] = &[
    "/conversations",
    "/conversations?order=id",
    "/inbox?since_seq=0&limit=500",
    "/mentions",
    "/search/messages?q=canary*",
    "/drafts",
    "/me/scheduled",
    "/unread?mentions=true",
    "/notices?since_seq=0&timeout=0",
];

struct Target<'a> {
    chat: &'a str,
    seq: i64,
    own: &'a str,
    new: &'a str,
    user: &'a str,
}

impl Target<'_> {
    fn fill(&self, template: &str) -> String {
        template
            .replace("{id}", self.chat)
            .replace("{seq}", &self.seq.to_string())
            .replace("{own}", self.own)
            .replace("{new}", self.new)
            .replace("{user_id}", self.user)
            .replace("{emoji}", "x")
    }

    /// The answer to a request, without its id.
    async fn ask(&self, who: &Person, (method, path, body): &(&str, &str, &str)) -> Answer {
        let body = self.fill(body);
        let body: Option<Value> = (!body.is_empty()).then(|| serde_json::from_str(&body).unwrap());
        let path = self.fill(path);
        let mut answer = who.try_call(method, &path, body.as_ref()).await.unwrap();
        let problem = match answer.body.get("results") {
            Some(_) => &mut answer.body["results"][0]["problem"],
            None => &mut answer.body,
        };
        if let Some(problem) = problem.as_object_mut() {
            problem.remove("request_id");
        }
        answer
    }
}

/// A member's view of a conversation, to see that a refused request has done nothing.
async fn state(who: &Person, chat: &str) -> Vec<Value> {
    let mut state = Vec::new();
    for path in ["", "/members", "/messages", "/pins", "/bans"] {
        let path = format!("/conversations/{chat}{path}");
        state.push(who.get(&path).await.ok(200));
    }
    state
}

async fn change(who: &Person, method: &str, path: &str, body: Value) -> Value {
    let body = Some(&body).filter(|body| !body.is_null());
    let answer = who.try_call(method, path, body).await.unwrap();
    assert!([200, 201, 204].contains(&answer.status), "{}", answer.body);
    answer.body
}

fn edit(words: &str, mentions: &[&Person]) -> Value {
    let ids: Vec<_> = mentions.iter().map(|one| &one.id).collect();
    json!({"version": 1, "content": {"text": words, "mentions": ids}})
}

fn reply(words: &str, seq: i64) -> Value {
    let mut message = text(words);
    message["reply_to"] = json!(seq);
    message
}

fn seqs(page: &Value) -> Vec<i64> {
    let messages = page["messages"].as_array().unwrap().iter();
    messages.map(|one| one["seq"].as_i64().unwrap()).collect()
}

/// Everything that a reader may ask for itself, but for the time.
async fn own(who: &Person) -> Vec<Value> {
    let mut answers = Vec::new();
    for path in OWN {
        answers.push(who.get(path).await.ok(200));
    }
    answers
}

/// The objects anywhere in an answer for which a condition holds.
fn objects<'a>(answer: &'a Value, is_one: &impl Fn(&Value) -> bool) -> Vec<&'a Value> {
    let within: Vec<&Value> = match answer {
        Value::Object(fields) => fields.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    let inner = within.into_iter().flat_map(|one| objects(one, is_one));
    let this = is_one(answer).then_some(answer);
    this.into_iter().chain(inner).collect()
}

/// The messages of a conversation in an answer.
fn messages<'a>(answer: &'a Value, chat: &str) -> Vec<&'a Value> {
    objects(answer, &|one| {
        one["created_at"].is_string() && one["conversation_id"] == chat
    })
}

/// To an outsider and to a former member a conversation is the same as one that there is not, in every request.
#[tokio::test(flavor = "multi_thread")]
async fn conversation_of_others_is_the_same_as_none() {
    let documented: BTreeSet<_> = operations()
        .into_iter()
        .filter(|one| one.path.starts_with("/v1/conversations/{id}"))
        .map(|one| (one.method, one.path))
        .collect();
    let requests = || OF_MESSAGE.iter().chain(OF_CONVERSATION);
    let met: BTreeSet<_> = requests()
        .map(|(method, path, _)| {
            let path = path.split('?').next().unwrap();
            ((*method).to_owned(), format!("/v1{path}"))
        })
        .collect();
    let missing: Vec<_> = documented.difference(&met).collect();
    assert!(missing.is_empty(), "{missing:?} need a request");

    for fanout_limit in [500, 1] {
        let app = App::configured(|config| config.fanout_limit = fanout_limit).await;
        let [ann, ben, eve, ex] = app.people(["ann", "ben", "eve", "rex"]).await;
        let chat = ann.group(&[&ben]).await;
        ann.send(&chat, "before").await;
        ann.add(&chat, &[&ex]).await.ok(200);
        ex.send(&chat, "of a former member").await;
        // It may do everything until it leaves.
        ann.change(&chat, &ex, json!({"role": "admin"}))
            .await
            .ok(200);
        change(
            &ex,
            "PUT",
            &format!("/conversations/{chat}/pins/2"),
            Value::Null,
        )
        .await;
        ex.remove(&chat, &ex).await.ok(204);
        ann.send(&chat, "after").await;
        for who in [&eve, &ex] {
            let own = who.group(&[]).await;
            let (none, new) = (id(), id());
            let before = state(&ann, &chat).await;
            let head = who.head().await;
            for request in requests() {
                for seq in [1, 2, 3] {
                    let there = Target {
                        chat: &chat,
                        seq,
                        own: &own,
                        new: &new,
                        user: &ben.id,
                    };
                    let nowhere = Target {
                        chat: &none,
                        ..there
                    };
                    let real = there.ask(who, request).await;
                    let unknown = nowhere.ask(who, request).await;
                    assert_eq!(
                        (real.status, &real.body),
                        (unknown.status, &unknown.body),
                        "{request:?} by {}",
                        who.name
                    );
                    let status = match real.body.get("results") {
                        Some(results) => results[0]["status"].clone(),
                        None => json!(real.status),
                    };
                    assert_eq!(status, 404, "{request:?} by {}", who.name);
                }
            }
            assert_eq!(state(&ann, &chat).await, before);
            assert_eq!(who.head().await, head);
        }
        app.finish().await;
    }
}

/// To a member who joined after a message, or has come back after it, the message is the same as one that there is not: in the
/// requests about it, in pages, lists and entries, and in the later messages that refer to it.
#[tokio::test(flavor = "multi_thread")]
async fn message_of_before_joining_is_the_same_as_none() {
    for fanout_limit in [500, 1] {
        let app = App::configured(|config| config.fanout_limit = fanout_limit).await;
        let [ann, ben, late, back] = app.people(["ann", "ben", "late", "back"]).await;
        let chat = ann.group(&[&ben, &back]).await;
        let at = format!("/conversations/{chat}");
        change(&ann, "PATCH", &at, json!({"pinning": "all"})).await;
        let mut first = text("canary");
        first["content"]["mentions"] = json!([back.id]);
        ann.post_message(&chat, first).await.ok(201);
        back.post_message(&chat, reply("canary", 1)).await.ok(201);
        change(
            &ann,
            "PATCH",
            &format!("{at}/messages/1"),
            edit("canary again", &[&back]),
        )
        .await;
        for seq in [1, 2] {
            change(
                &ben,
                "PUT",
                &format!("{at}/messages/{seq}/reactions/x"),
                Value::Null,
            )
            .await;
            change(&ann, "PUT", &format!("{at}/pins/{seq}"), Value::Null).await;
        }
        back.remove(&chat, &back).await.ok(204);
        ann.add(&chat, &[&late, &back]).await.ok(200);
        for who in [&late, &back] {
            let shown = who.conversation(&chat).await.ok(200);
            assert_eq!(
                (&shown["first_seq"], &shown["last_message"]),
                (&json!(3), &Value::Null)
            );
        }
        ann.post_message(&chat, reply("three", 1)).await.ok(201);
        ben.post_message(&chat, reply("four", 3)).await.ok(201);
        ben.post_message(&chat, reply("five", 2)).await.ok(201);
        change(&ann, "PUT", &format!("{at}/pins/3"), Value::Null).await;
        change(
            &ann,
            "PUT",
            &format!("{at}/messages/4/reactions/x"),
            Value::Null,
        )
        .await;
        let child = json!({"kind": "group", "title": "child", "member_ids": [late.id, back.id],
            "parent": {"conversation_id": chat, "seq": 1}});
        let child = ann.post("/conversations", child).await.ok(201);
        let child = format!("/conversations/{}", child["id"].as_str().unwrap());
        // An edit that names who cannot see the message.
        let heads = [late.head().await, back.head().await];
        change(&back, "PUT", &format!("{at}/read"), json!({"seq": 5})).await;
        execute(
            &mut app.database(),
            "UPDATE message_states SET edited_at = edited_at - interval '1 second'",
        );
        let mut names = edit("canary names", &[&late, &back]);
        names["version"] = json!(2);
        change(&ann, "PATCH", &format!("{at}/messages/1"), names).await;
        for (who, head) in [&late, &back].into_iter().zip(heads) {
            let entries = who.entries(head).await;
            let kinds: Vec<_> = entries
                .iter()
                .map(|one| one["kind"].as_str().unwrap())
                .collect();
            assert!(kinds.iter().all(|kind| *kind == "read"), "{kinds:?}");
        }
        for who in [&late, &back] {
            let own_group = who.group(&[]).await;
            let new = id();
            for role in ["member", "admin"] {
                ann.change(&chat, who, json!({"role": role})).await.ok(200);
                let before = state(&ann, &chat).await;
                for seq in [1, 2] {
                    let there = Target {
                        chat: &chat,
                        seq,
                        own: &own_group,
                        new: &new,
                        user: &ben.id,
                    };
                    let nowhere = Target { seq: 99, ..there };
                    for request in OF_MESSAGE {
                        let real = there.ask(who, request).await;
                        let none = nowhere.ask(who, request).await;
                        assert_eq!(
                            (real.status, &real.body),
                            (404, &none.body),
                            "{request:?} by {}, {role}",
                            who.name
                        );
                    }
                    // A reply, now and later.
                    let [real, none] =
                        [seq, 99].map(|seq| who.post_message(&chat, reply("x", seq)));
                    let [real, none] =
                        [real.await, none.await].map(|one| one.problem(400, "validation"));
                    assert_eq!(real["errors"], none["errors"]);
                }
                assert_eq!(state(&ann, &chat).await, before);
            }
            // Positions at it do nothing.
            let head = who.head().await;
            change(who, "PUT", &format!("{at}/cleared"), json!({"seq": 2})).await;
            change(who, "PUT", &format!("{at}/hidden"), json!({"seqs": [1, 2]})).await;
            assert!(who.read(&chat, 1).await["read_seq"].as_i64().unwrap() >= 2);
            assert_eq!(who.head().await, head);

            for (path, expected) in [
                ("messages", vec![3, 4, 5]),
                ("messages?since_seq=0&with_replied=true", vec![3, 4, 5]),
                ("messages?before_seq=4", vec![3]),
                ("messages?before_seq=3", vec![]),
                ("messages?seqs=1,2,3", vec![3]),
                ("messages?changed_since=0", vec![3, 4]),
                ("messages/3/replies", vec![]),
                ("pins", vec![3]),
            ] {
                let page = who.get(&format!("{at}/{path}")).await.ok(200);
                assert_eq!(seqs(&page), expected, "{path}");
                if let Some(replied) = page.get("replied") {
                    assert_eq!(replied, &json!([]), "{path}");
                }
            }
            // A conflict shows the message.
            let conflict = [3, 4, 5].map(async |seq| {
                let mut edit = edit("x", &[]);
                edit["version"] = json!(7);
                let path = format!("{at}/messages/{seq}");
                who.patch(&path, edit)
                    .await
                    .problem(409, "version_conflict")
            });
            let mut answers = own(who).await;
            answers.extend(futures_util::future::join_all(conflict).await);
            for path in [
                "messages",
                "messages?seqs=3,4,5",
                "messages?changed_since=0",
                "messages/3",
                "messages/4",
                "messages/5",
                "pins",
            ] {
                answers.push(who.get(&format!("{at}/{path}")).await.ok(200));
            }
            let mut shown = 0;
            for answer in &answers {
                for message in messages(answer, &chat) {
                    shown += 1;
                    let seq = message["seq"].as_i64().unwrap();
                    let (to, sender) = match seq {
                        1 | 2 if who.name == "back" => continue,
                        3 => (1, Value::Null),
                        4 => (3, json!(ann.id)),
                        5 => (2, Value::Null),
                        _ => panic!("{message}"),
                    };
                    assert_eq!(
                        message["reply_to"],
                        json!({"seq": to, "sender_id": sender}),
                        "{answer}"
                    );
                    assert_eq!(message.get("root_seq"), None, "{answer}");
                }
            }
            assert!(shown > 10, "{shown}");
            let late_knows = answers.iter().any(|one| one.to_string().contains("canary"));
            assert!(who.name == "back" || !late_knows);
            assert_eq!(who.get(&child).await.ok(200)["parent"], Value::Null);
            // A reply to an own message of before names its author.
            let named: Vec<_> = who.get("/mentions").await.ok(200)["mentions"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["seq"].as_i64().unwrap())
                .collect();
            let expected = if who.name == "back" { vec![5] } else { vec![] };
            assert_eq!(named, expected);
            let shown = who.conversation(&chat).await.ok(200);
            assert_eq!(shown["me"]["unread_mentions"], 0);
        }
        // Scheduled replies fail in the same words.
        let mut problems = Vec::new();
        for seq in [1, 99] {
            let mut later = json!({"conversation_id": chat, "send_at": "2000-01-01T00:00:00Z", "kind": "text", "content": {"text": "x"}});
            later["reply_to"] = json!(seq);
            change(&late, "PUT", &format!("/me/scheduled/{}", id()), later).await;
            let head = late.head().await;
            scheduled::fire(&app.nodes[0].handles.delivery).await;
            let failed = async || late.entries(head - 1).await;
            let failed = eventually("it fails", Duration::from_secs(9), failed, |all| {
                all.iter().any(|one| one["kind"] == "scheduled_failed")
            });
            problems.push(failed.await.pop().unwrap()["problem"].clone());
        }
        assert_eq!(problems[0], problems[1]);
        app.finish().await;
    }
}

/// After leaving nothing that a member may ask for changes with the conversation, except that the content of a recalled or expired
/// message is gone.
#[tokio::test(flavor = "multi_thread")]
async fn former_member_learns_of_no_later_change() {
    for fanout_limit in [500, 1] {
        let app = App::configured(|config| config.fanout_limit = fanout_limit).await;
        let [ann, ben, rex] = app.people(["ann", "ben", "rex"]).await;
        let chat = ann.group(&[&ben, &rex]).await;
        let at = format!("/conversations/{chat}");
        for words in ["one @rex", "two @rex", "three @rex", "four @rex"] {
            let mut message = text(words);
            message["content"]["mentions"] = json!([rex.id]);
            ann.post_message(&chat, message).await.ok(201);
        }
        rex.post_message(&chat, reply("five", 1)).await.ok(201);
        change(
            &ann,
            "PATCH",
            &format!("{at}/messages/1"),
            edit("one again", &[&rex]),
        )
        .await;
        change(
            &ben,
            "PUT",
            &format!("{at}/messages/5/reactions/x"),
            Value::Null,
        )
        .await;
        change(&ann, "PUT", &format!("{at}/pins/5"), Value::Null).await;
        // What a member has of its own ends with the membership.
        let draft = json!({"version": 0, "content": {"text": "draft"}, "after_seq": 5});
        change(&rex, "PUT", &format!("{at}/draft"), draft).await;
        change(
            &rex,
            "PATCH",
            &format!("{at}/settings"),
            json!({"nickname": "work"}),
        )
        .await;
        change(&rex, "PUT", &format!("{at}/hidden"), json!({"seqs": [4]})).await;
        let later = json!({"conversation_id": chat, "send_at": tomorrow(), "kind": "text", "content": {"text": "later"}});
        change(&rex, "PUT", &format!("/me/scheduled/{}", id()), later).await;
        rex.remove(&chat, &rex).await.ok(204);
        let left = own(&rex).await;
        let shown = json!(left).to_string();
        for own in [r#""text":"draft""#, r#""nickname":"work""#] {
            assert!(!shown.contains(own), "{own}: {shown}");
        }
        for path in ["/mentions", "/drafts"] {
            let answer = rex.get(path).await.ok(200).to_string();
            assert!(!answer.contains(&chat), "{path}: {answer}");
        }

        ann.send(&chat, "six").await;
        change(
            &ann,
            "PATCH",
            &format!("{at}/messages/2"),
            edit("two again", &[&ben]),
        )
        .await;
        change(
            &ann,
            "PATCH",
            &format!("{at}/messages/3"),
            edit("three again", &[&rex, &ben]),
        )
        .await;
        for seq in [1, 2, 5] {
            change(
                &ben,
                "PUT",
                &format!("{at}/messages/{seq}/reactions/y"),
                Value::Null,
            )
            .await;
            change(&ann, "PUT", &format!("{at}/pins/{seq}"), Value::Null).await;
        }
        change(&ann, "DELETE", &format!("{at}/pins/5"), Value::Null).await;
        change(
            &ben,
            "DELETE",
            &format!("{at}/messages/5/reactions/x"),
            Value::Null,
        )
        .await;
        ben.post_message(&chat, reply("seven", 5)).await.ok(201);
        change(
            &ann,
            "PATCH",
            &at,
            json!({"title": "Saturday", "posting": "admins", "message_ttl_seconds": 600}),
        )
        .await;
        ann.change(&chat, &ben, json!({"role": "admin"}))
            .await
            .ok(200);
        ben.read(&chat, 7).await;
        let now = own(&rex).await;
        for ((path, now), left) in OWN.iter().zip(&now).zip(&left) {
            assert_eq!(now, left, "{path}");
        }

        change(&ann, "DELETE", &format!("{at}/messages/1"), Value::Null).await;
        let now = own(&rex).await;
        assert!(!json!(now).to_string().contains("one "), "{now:?}");
        assert!(json!(now).to_string().contains("two @rex"), "{now:?}");
        assert_eq!(now[2]["last_seq"], left[2]["last_seq"]);
        app.finish().await;
    }
}

/// No answer about a forward has an id of its source, to anybody: neither its conversation nor its message.
#[tokio::test(flavor = "multi_thread")]
async fn forward_never_names_its_source() {
    let (app, [ann, ben, cat, dan]) = App::with(["ann", "ben", "cat", "dan"]).await;
    let source = ann.group(&[&ben]).await;
    let target = ben.group(&[&cat]).await;
    let mut message = reply("canary", 1);
    ann.send(&source, "first").await;
    message["content"]["mentions"] = json!([ben.id]);
    let first = ann.post_message(&source, message).await.ok(201);
    let forward = |chat: &str, seq: i64| json!({"client_msg_id": id(), "forward": {"conversation_id": chat, "seq": seq}});
    let one = forward(&source, 2);
    let batched = forward(&source, 2);
    let at = format!("/conversations/{target}");
    let path = format!("{at}/messages/batch");
    let mut answers = vec![
        ben.post_message(&target, one.clone()).await.ok(201),
        ben.post_message(&target, one).await.ok(200),
        ben.post(&path, json!({"messages": [batched]}))
            .await
            .ok(200),
        ben.post(&path, json!({"messages": [batched]}))
            .await
            .ok(200),
        cat.post_message(&target, forward(&target, 1)).await.ok(201),
    ];
    for (who, seq) in [(&ben, 1), (&cat, 3)] {
        change(
            &cat,
            "PUT",
            &format!("{at}/messages/{seq}/reactions/x"),
            Value::Null,
        )
        .await;
        change(&ben, "PUT", &format!("{at}/pins/{seq}"), Value::Null).await;
        let path = format!("{at}/messages/{seq}");
        answers.push(
            who.patch(&path, edit("x", &[]))
                .await
                .problem(403, "forbidden"),
        );
        let mut wrong = edit("x", &[]);
        wrong["version"] = json!(7);
        answers.push(
            who.patch(&path, wrong)
                .await
                .problem(409, "version_conflict"),
        );
        answers.push(
            ben.post_message(&target, reply("a reply", seq))
                .await
                .ok(201),
        );
    }
    for query in [
        "",
        "?since_seq=3&with_replied=true",
        "?seqs=1,2,3",
        "?changed_since=0",
    ] {
        answers.push(ben.get(&format!("{at}/messages{query}")).await.ok(200));
    }
    for operation in operations().iter().filter(|one| one.method == "GET") {
        for caller in [&ben, &cat] {
            let scene = Scene {
                caller,
                chat: &target,
                member: &ben,
                stranger: &dan,
            };
            let answer = operation.good(&app, &scene).await.send_as(caller).await;
            // Ben is a member of the source too.
            if caller.name == "cat" || operation.path.contains("{id}") {
                answers.push(answer.body);
            }
        }
    }
    answers.extend(own(&cat).await);
    let ids = [
        &source,
        first["id"].as_str().unwrap(),
        first["client_msg_id"].as_str().unwrap(),
    ];
    let shown = |answer: &&Value| answer.to_string().contains("canary");
    assert!(answers.iter().filter(shown).count() > 15);
    for answer in &answers {
        let text = answer.to_string();
        for id in ids {
            assert!(!text.contains(id), "{text}");
        }
        for message in messages(answer, &target) {
            if message["content"]["text"] == "canary" {
                let origin = json!({"sender_id": ann.id, "created_at": first["created_at"]});
                assert_eq!(message["forward"], origin);
                assert_eq!(message.get("reply_to"), None, "{message}");
                assert_eq!(message["content"], json!({"text": "canary"}));
            }
        }
    }
    app.finish().await;
}

/// A member who hides reading is in no list of readers, in no count and in no position, and reads of no others.
#[tokio::test(flavor = "multi_thread")]
async fn hidden_reader_is_in_no_list_of_readers() {
    let (app, [ann, ben, dan]) = App::with(["ann", "ben", "dan"]).await;
    let group = ann.group(&[&ben, &dan]).await;
    let direct = ann.direct(&dan).await;
    for chat in [&group, &direct] {
        ann.send(chat, "one").await;
        dan.send(chat, "two").await;
    }
    ben.send(&group, "three").await;
    for who in [&ann, &ben, &dan] {
        who.read(&group, 3).await;
    }
    ann.read(&direct, 2).await;
    let receipts = async |who: &Person, chat: &str, seq: i64| {
        let path = format!("/conversations/{chat}/messages/{seq}/receipts");
        who.get(&path).await
    };
    for (hides, direct_position) in [(true, Value::Null), (false, json!(2)), (true, Value::Null)] {
        change(&dan, "PATCH", "/me", json!({"read_receipts": !hides})).await;
        // Of each message its eligible members. Its sender is not one of them.
        for (who, seq, all) in [
            (&ann, 1, vec![&ben, &dan]),
            (&ann, 2, vec![&ann, &ben]),
            (&ben, 3, vec![&ann, &dan]),
            (&ann, 3, vec![&ann, &dan]),
        ] {
            let page = receipts(who, &group, seq).await.ok(200);
            let mut expected: Vec<_> = all
                .into_iter()
                .filter(|one| !(hides && one.name == "dan"))
                .map(|one| json!({"user_id": one.id, "read": true, "delivered": true}))
                .collect();
            expected.sort_by_key(|one| one["user_id"].to_string());
            for count in ["eligible", "readers", "delivered"] {
                assert_eq!(page[count], expected.len(), "{count} of {seq}: {page}");
            }
            assert_eq!(page["members"], json!(expected));
        }
        let page = receipts(&ann, &direct, 1).await.ok(200);
        assert_eq!(
            (&page["eligible"], &page["readers"]),
            (&json!(i32::from(!hides)), &json!(i32::from(!hides)))
        );
        // Nor does the reader learn of the others.
        for (chat, seq) in [(&group, 2), (&direct, 2)] {
            match hides {
                true => drop(receipts(&dan, chat, seq).await.problem(403, "forbidden")),
                false => drop(receipts(&dan, chat, seq).await.ok(200)),
            }
        }
        for who in [&ann, &dan] {
            let mut shown = vec![who.conversation(&direct).await.ok(200)];
            for path in [
                "/conversations",
                "/conversations?order=id",
                "/inbox?since_seq=0&limit=500",
            ] {
                let answer = who.get(path).await.ok(200);
                let is_direct =
                    |one: &Value| one["id"] == direct.as_str() && one["member_count"].is_number();
                shown.extend(objects(&answer, &is_direct).into_iter().cloned());
            }
            assert!(shown.len() > 3);
            for one in shown {
                assert_eq!(one["peer_read_seq"], direct_position, "{one}");
            }
        }
        // The list of members has no positions.
        let list = ann
            .get(&format!("/conversations/{group}/members"))
            .await
            .ok(200);
        assert!(!list.to_string().contains("read"), "{list}");
    }
    app.finish().await;
}
