//! Messages that are sent later.

use crate::support::{
    Answer, App, Person, eventually, execute, id, number, tomorrow, waiting_for_locks,
};
use serde_json::{Value, json};
use std::time::Duration;
use tideline::domain::messaging::scheduled;

/// A time that the next round of the test, not that of a node, finds: nodes look every two seconds.
const SOON: &str = "2000-01-01T00:00:00Z";

fn path(id: &str) -> String {
    format!("/me/scheduled/{id}")
}

fn body(chat: &str, at: &str, words: &str) -> Value {
    json!({"conversation_id": chat, "send_at": at, "kind": "text", "content": {"text": words}})
}

async fn put(who: &Person, id: &str, chat: &str, at: &str, words: &str) -> Answer {
    who.put(&path(id), body(chat, at, words)).await
}

async fn listed(who: &Person) -> Vec<Value> {
    let page = who.get("/me/scheduled").await.ok(200);
    page["scheduled"].as_array().unwrap().clone()
}

async fn fire(app: &App, node: usize) {
    scheduled::fire(&app.nodes[node].handles.delivery).await;
}

/// The texts of a conversation, once all that is due is sent.
async fn sent(app: &App, who: &Person, chat: &str) -> Vec<String> {
    fire(app, 0).await;
    let due = async || {
        let due = "SELECT count(*) AS n FROM scheduled WHERE send_at <= now()";
        number(&mut app.database(), due)
    };
    eventually("all are sent", Duration::from_secs(20), due, |n| *n == 0).await;
    let messages = who.history(chat, 0).await.into_iter();
    messages
        .map(|one| one["content"]["text"].as_str().unwrap().to_owned())
        .collect()
}

/// Id and code of each `scheduled_failed` entry.
async fn failures(who: &Person) -> Vec<(Value, Value)> {
    let entries = who.entries(0).await.into_iter();
    entries
        .filter(|entry| entry["kind"] == "scheduled_failed")
        .map(|entry| {
            assert!(entry["problem"]["detail"].is_string());
            let scheduled = &entry["scheduled"];
            assert_eq!(scheduled["client_msg_id"], entry["client_msg_id"]);
            assert!(scheduled["content"].is_object(), "{entry}");
            (
                entry["client_msg_id"].clone(),
                entry["problem"]["code"].clone(),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn scheduled_message_is_sent_at_its_time() {
    for fanout_limit in [500, 1] {
        let app = App::configured(|config| config.fanout_limit = fanout_limit).await;
        let [ann, ben] = app.people(["ann", "ben"]).await;
        let chat = ann.group(&[&ben]).await;
        ann.send(&chat, "now").await;
        let before = [ann.head().await, ben.head().await];
        let (one, other) = (id(), id());
        let at = tomorrow();
        let stored = put(&ann, &one, &chat, &at, "later").await.ok(200);
        assert_eq!(
            stored,
            json!({"client_msg_id": one, "conversation_id": chat, "send_at": at, "kind": "text", "content": {"text": "later"}})
        );
        assert_eq!(put(&ann, &one, &chat, &at, "later").await.ok(200), stored);
        let mut full = body(&chat, &tomorrow(), "with all");
        full["reply_to"] = json!(1);
        full["mention_all"] = json!(true);
        full["expires_in"] = json!(600);
        let full = ann.put(&path(&other), full).await.ok(200);
        let mut expected = vec![stored, full.clone()];
        expected.sort_by_key(|one| one["client_msg_id"].to_string());
        assert_eq!(listed(&ann).await, expected);
        assert!(listed(&ben).await.is_empty());
        // Nobody learns of it, the caller's other devices included.
        fire(&app, 0).await;
        assert_eq!([ann.head().await, ben.head().await], before);

        // It is replaced, and deleted.
        put(&ann, &one, &chat, &tomorrow(), "changed").await.ok(200);
        ann.call("DELETE", &path(&other)).await.ok(204);
        ann.call("DELETE", &path(&other)).await.ok(204);
        put(&ann, &one, &chat, SOON, "sent").await.ok(200);
        assert_eq!(sent(&app, &ben, &chat).await, ["now", "sent"]);
        assert!(listed(&ann).await.is_empty());
        let message = ben.history(&chat, 1).await.remove(0);
        assert_eq!(
            (&message["client_msg_id"], &message["sender_id"]),
            (&json!(one), &json!(ann.id))
        );
        assert_eq!(ben.conversation(&chat).await.ok(200)["me"]["unread"], 2);

        // Again under its id: the same message is a replay, another one is refused.
        put(&ann, &one, &chat, SOON, "sent").await.ok(200);
        assert_eq!(sent(&app, &ben, &chat).await, ["now", "sent"]);
        assert!(failures(&ann).await.is_empty());
        put(&ann, &one, &chat, SOON, "another").await.ok(200);
        assert_eq!(sent(&app, &ben, &chat).await, ["now", "sent"]);
        assert_eq!(
            failures(&ann).await,
            [(json!(one), json!("client_msg_id_reused"))]
        );
        // With all that a send has.
        let mut full = body(&chat, SOON, "full");
        full["reply_to"] = json!(1);
        full["expires_in"] = json!(600);
        ann.put(&path(&other), full).await.ok(200);
        assert_eq!(sent(&app, &ben, &chat).await.len(), 3);
        let message = ben.history(&chat, 2).await.remove(0);
        assert_eq!(message["reply_to"]["seq"], 1);
        assert!(message["expires_at"].is_string());
        app.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn message_that_cannot_be_sent_becomes_an_entry() {
    let (app, [ann, ben, eve]) = App::with(["ann", "ben", "eve"]).await;
    let (direct, group) = (ann.direct(&ben).await, ben.group(&[&ann, &eve]).await);
    let ids = [id(), id(), id(), id()];
    for (id, (who, chat)) in ids
        .iter()
        .zip([(&ann, &direct), (&ann, &group), (&eve, &group)])
    {
        put(who, id, chat, &tomorrow(), "too late").await.ok(200);
    }
    let mut reply = body(&group, &tomorrow(), "a reply");
    reply["reply_to"] = json!(7);
    ann.put(&path(&ids[3]), reply).await.ok(200);
    ben.block(&ann).await.ok(204);
    let until = json!({"muted_until": "2100-01-01T00:00:00Z"});
    ben.change(&group, &eve, until).await.ok(200);
    let mut conn = app.database();
    let mut due = async |id: &str| {
        execute(
            &mut conn,
            &format!("UPDATE scheduled SET send_at = now() WHERE client_msg_id = '{id}'"),
        );
        sent(&app, &ben, &group).await
    };
    due(&ids[0]).await;
    due(&ids[2]).await;
    due(&ids[3]).await;
    assert_eq!(
        failures(&ann).await,
        [
            (json!(ids[0]), json!("blocked")),
            (json!(ids[3]), json!("validation"))
        ]
    );
    assert_eq!(failures(&eve).await, [(json!(ids[2]), json!("muted"))]);
    // After a removal the entry names no conversation.
    ben.remove(&group, &ann).await.ok(204);
    assert!(due(&ids[1]).await.is_empty());
    let entry = ann.entries(0).await.pop().unwrap();
    assert_eq!(
        (
            &entry["kind"],
            &entry["conversation_id"],
            &entry["unread"],
            &entry["problem"]["code"]
        ),
        (
            &json!("scheduled_failed"),
            &json!(uuid::Uuid::nil()),
            &json!(0),
            &json!("not_found")
        )
    );
    assert!(listed(&ann).await.is_empty());
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_are_checked() {
    let (app, [ann, ben, eve]) = App::with(["ann", "ben", "eve"]).await;
    let chat = ann.direct(&ben).await;
    let at = path(&id());
    for (name, value, pointer) in [
        ("conversation_id", json!("x"), "/conversation_id"),
        ("send_at", json!("tomorrow"), "/send_at"),
        ("send_at", json!("2100-01-01T00:00:00Z"), "/send_at"),
        ("kind", json!("poem"), "/kind"),
        ("content", json!({}), "/content/text"),
        ("reply_to", json!(-1), "/reply_to"),
        ("expires_in", json!(9), "/expires_in"),
        ("more", json!(1), "/more"),
    ] {
        let mut body = body(&chat, &tomorrow(), "x");
        body[name] = value;
        let problem = ann.put(&at, body).await.problem(400, "validation");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    put(&eve, &id(), &chat, &tomorrow(), "x")
        .await
        .problem(404, "not_found");
    put(&ann, &id(), &id(), &tomorrow(), "x")
        .await
        .problem(404, "not_found");
    ann.put("/me/scheduled/x", body(&chat, &tomorrow(), "x"))
        .await
        .problem(404, "not_found");
    let ids: Vec<_> = (0..100).map(|_| id()).collect();
    for id in &ids {
        put(&ann, id, &chat, &tomorrow(), "x").await.ok(200);
    }
    let refused = put(&ann, &id(), &chat, &tomorrow(), "x").await;
    refused.problem(409, "limit_reached");
    put(&ann, &ids[0], &chat, &tomorrow(), "changed")
        .await
        .ok(200);
    let (mut found, mut query) = (0, String::new());
    loop {
        let page = ann
            .get(&format!("/me/scheduled?limit=40{query}"))
            .await
            .ok(200);
        found += page["scheduled"].as_array().unwrap().len();
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        query = format!("&cursor={cursor}");
    }
    assert_eq!(found, 100);
    app.finish().await;
}

/// Two nodes fire together, and one is killed: before its send, after it, and at any time between.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn scheduled_message_is_sent_once_by_any_number_of_nodes() {
    let (mut app, [ann, ben]) = App::with(["ann", "ben"]).await;
    app.add_node().await;
    let chat = ann.direct(&ben).await;
    for n in 0..20 {
        put(&ann, &id(), &chat, SOON, &format!("{n}")).await.ok(200);
    }
    tokio::join!(fire(&app, 0), fire(&app, 1), fire(&app, 0), fire(&app, 1));
    assert_eq!(sent(&app, &ben, &chat).await.len(), 20);

    // A node dies while its send waits for the conversation, and then one whose send is stored and still claimed. The others are away
    // meanwhile: they cannot have claimed it.
    let mut conn = app.database();
    let free = "UPDATE scheduled SET claimed_until = now()";
    let hold = format!("BEGIN; SELECT FROM conversations WHERE id = '{chat}' FOR UPDATE");
    for (n, is_stored) in [false, true].into_iter().enumerate() {
        let process = app.add_process(&[]);
        let there = ann.at(&process.process.url);
        app.postgres.cut();
        execute(&mut conn, &hold);
        let one = id();
        put(&there, &one, &chat, SOON, "of a dead node")
            .await
            .ok(200);
        waiting_for_locks(&mut app.database(), 1).await;
        // It cannot be cancelled any more.
        let late = there.call("DELETE", &path(&one)).await;
        late.problem(403, "window_closed");
        put(&there, &one, &chat, &tomorrow(), "x")
            .await
            .problem(403, "window_closed");
        if is_stored {
            execute(
                &mut conn,
                "ROLLBACK; BEGIN; LOCK TABLE scheduled IN SHARE MODE",
            );
            // What is waiting now is the end of the claim.
            let stored =
                format!("SELECT count(*) AS n FROM messages WHERE client_msg_id = '{one}'");
            let stored = async || number(&mut app.database(), &stored);
            eventually("it is sent", Duration::from_secs(10), stored, |n| *n == 1).await;
        }
        drop(process);
        execute(&mut conn, "ROLLBACK");
        let claimed = "SELECT count(*) AS n FROM scheduled WHERE claimed_until > now()";
        assert_eq!(number(&mut conn, claimed), 1);
        app.postgres.heal();
        execute(&mut conn, free);
        let healthy = async || ann.get("/me/scheduled").await.status;
        eventually("it is back", Duration::from_secs(10), healthy, |status| {
            *status == 200
        })
        .await;
        tokio::join!(fire(&app, 0), fire(&app, 1), fire(&app, 0), fire(&app, 1));
        assert_eq!(sent(&app, &ben, &chat).await.len(), 21 + n);
        assert!(listed(&ann).await.is_empty());
        assert!(failures(&ann).await.is_empty());
    }

    // A node dies after its claim, and another one after its send.
    let rows = "SELECT count(*) AS n FROM scheduled WHERE claimed_until IS NOT NULL";
    let (lost, again) = (id(), id());
    let delivery = &app.nodes[0].handles.delivery;
    put(&ann, &lost, &chat, SOON, "claimed").await.ok(200);
    put(&ann, &again, &chat, SOON, "sent").await.ok(200);
    let sent_before = json!({"client_msg_id": again, "kind": "text", "content": {"text": "sent"}});
    let stored = ann.post_message(&chat, sent_before).await;
    assert!([200, 201].contains(&stored.status));
    let claim = tideline::storage::pg::messaging::scheduled::claim;
    delivery.pg.read("claim", claim).await.unwrap();
    if number(&mut conn, rows) > 0 {
        fire(&app, 1).await;
        execute(&mut conn, free);
    }
    assert_eq!(sent(&app, &ben, &chat).await.len(), 24);
    assert!(failures(&ann).await.is_empty());
    app.finish().await;
}
