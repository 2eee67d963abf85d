//! Messages that expire.

use crate::support::{App, Person, eventually, execute, id, number, text};
use diesel::PgConnection;
use serde_json::{Value, json};
use std::time::Duration;
use tideline::domain::operations::expiry;

/// Holds the lock of the sweeper: as if it were off.
const OFF: &str = "SELECT pg_advisory_lock(hashtext('tideline expiry'))";
const ON: &str = "SELECT pg_advisory_unlock(hashtext('tideline expiry'))";

/// A text that expires in ten minutes.
fn brief(words: &str) -> Value {
    let mut message = text(words);
    message["expires_in"] = json!(600);
    message
}

/// Moves the end of messages, as if time had passed.
pub(super) fn pass(conn: &mut PgConnection, chat: &str, seqs: &[i64]) {
    end(conn, chat, seqs, "-1 milliseconds");
}

fn end(conn: &mut PgConnection, chat: &str, seqs: &[i64], after: &str) {
    let seqs: Vec<_> = seqs.iter().map(i64::to_string).collect();
    let statements = format!(
        "UPDATE expiring SET expires_at = date_trunc('milliseconds', clock_timestamp()) + interval '{after}'
         WHERE conversation_id = '{chat}' AND seq IN ({seqs});
         UPDATE messages m SET extra = (m.extra::jsonb || jsonb_build_object('expires_at', e.expires_at))::json
         FROM expiring e WHERE e.conversation_id = m.conversation_id AND e.seq = m.seq
             AND e.conversation_id = '{chat}' AND e.seq IN ({seqs})",
        seqs = seqs.join(",")
    );
    execute(conn, &statements);
}

async fn set_ttl(who: &Person, chat: &str, seconds: Value) -> crate::support::Answer {
    let path = format!("/conversations/{chat}");
    who.patch(&path, json!({"message_ttl_seconds": seconds}))
        .await
}

pub(super) async fn sweep(app: &App) {
    expiry::sweep(&app.nodes[0].handles.delivery).await;
}

/// `read_seq` and `unread` of the person.
async fn position(who: &Person, chat: &str) -> (i64, i64) {
    let me = who.conversation(chat).await.ok(200)["me"].clone();
    (
        me["read_seq"].as_i64().unwrap(),
        me["unread"].as_i64().unwrap(),
    )
}

fn canary_of(answer: &Value) -> bool {
    answer.to_string().contains("canary")
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_message_is_a_stub_in_every_answer() {
    for fanout_limit in [500, 1] {
        let app = App::configured(|config| config.fanout_limit = fanout_limit).await;
        let [ann, ben, eve] = app.people(["ann", "ben", "eve"]).await;
        let mut conn = app.database();
        execute(&mut conn, OFF);
        let chat = ann.group(&[&ben, &eve]).await;
        ann.send(&chat, "before").await;
        let mut message = brief("canary one");
        message["content"]["mentions"] = json!([ben.id]);
        message["reply_to"] = json!(1);
        let sent = ann.post_message(&chat, message.clone()).await.ok(201);
        let at = format!("/conversations/{chat}/messages/2");
        let again = ann.post_message(&chat, message.clone()).await.ok(200);
        assert_eq!(again["expires_at"], sent["expires_at"]);
        let edit = |version: i64| json!({"version": version, "content": {"text": "canary two"}});
        ann.patch(&at, edit(1)).await.ok(200);
        let reaction = format!("{at}/reactions/x");
        ben.put(&reaction, Value::Null).await.ok(200);
        let pin = format!("/conversations/{chat}/pins/2");
        ann.put(&pin, Value::Null).await.ok(204);
        let mut reply = text("to it");
        reply["reply_to"] = json!(2);
        ben.post_message(&chat, reply.clone()).await.ok(201);
        ann.remove(&chat, &eve).await.ok(204);
        let change_seq = ann.get(&at).await.ok(200)["change_seq"].clone();
        let head = ann.head().await;
        assert!(canary_of(&ben.get(&at).await.ok(200)));

        // The nodes' clocks play no role.
        let clock = &app.nodes[0].handles.auth.tokens.clock;
        clock.set(clock.now() - 600);
        pass(&mut conn, &chat, &[2]);
        let mut seen = Vec::new();
        for swept in [false, true] {
            if swept {
                execute(&mut conn, ON);
                sweep(&app).await;
                execute(&mut conn, OFF);
                let left = "SELECT count(*) AS n FROM messages m LEFT JOIN message_versions v USING (conversation_id, seq)
                    LEFT JOIN message_states s USING (conversation_id, seq)
                    WHERE m.seq = 2 AND (m.content IS NOT NULL OR s.content IS NOT NULL OR v.content IS NOT NULL)";
                assert_eq!(number(&mut conn, left), 0);
                assert_eq!(number(&mut conn, "SELECT count(*) AS n FROM expiring"), 0);
                assert_eq!(number(&mut conn, "SELECT count(*) AS n FROM pins"), 0);
            }
            let stub = ben.get(&at).await.ok(200);
            assert_eq!(stub.get("pinned"), None);
            assert_eq!(ben.get("/mentions").await.ok(200)["mentions"], json!([]));
            let own = ben.conversation(&chat).await.ok(200);
            assert_eq!(own["me"]["unread_mentions"], 0);
            assert_eq!(
                (&stub["kind"], &stub["content"], &stub["change_seq"]),
                (&json!("expired"), &json!({}), &change_seq)
            );
            assert!(stub["expires_at"].is_string());
            for gone in ["version", "edited_at", "reply_to", "root_seq", "reactions"] {
                assert_eq!(stub[gone], Value::Null, "{gone}");
            }
            let messages = format!("/conversations/{chat}/messages");
            for (who, path) in [
                (&ben, format!("{messages}?since_seq=0&with_replied=true")),
                (&ben, format!("{messages}?seqs=2")),
                (&ben, format!("{messages}?changed_since=0")),
                (&ben, format!("{messages}/1/replies")),
                (&ben, "/inbox?since_seq=0&limit=500".to_owned()),
                (&ann, "/inbox?since_seq=0&limit=500".to_owned()),
                // A former member.
                (&eve, "/inbox?since_seq=0&limit=500".to_owned()),
                (&ben, "/conversations".to_owned()),
                (&ben, "/mentions".to_owned()),
            ] {
                let answer = who.get(&path).await.ok(200);
                assert!(!canary_of(&answer), "{path}: {answer}");
            }
            let seqs: Vec<_> = ben.history(&chat, 0).await;
            let seqs: Vec<_> = seqs
                .iter()
                .map(|one| one["seq"].as_i64().unwrap())
                .collect();
            assert_eq!(seqs, [1, 2, 3]);
            for (method, path, body) in [
                ("PATCH", at.clone(), edit(2)),
                ("PATCH", at.clone(), edit(1)),
                ("PUT", reaction.clone(), Value::Null),
                ("DELETE", reaction.clone(), Value::Null),
                ("GET", format!("{at}/reactions"), Value::Null),
                ("GET", format!("{at}/versions"), Value::Null),
                ("GET", format!("{at}/receipts"), Value::Null),
            ] {
                let body = Some(&body).filter(|body| !body.is_null());
                let answer = ann.try_call(method, &path, body).await.unwrap();
                answer.problem(409, "message_gone");
            }
            let mut late = text("too late");
            late["reply_to"] = json!(2);
            let refused = ben.post_message(&chat, late).await;
            assert_eq!(
                refused.problem(400, "validation")["errors"][0]["pointer"],
                "/reply_to"
            );
            // A replay, whatever it carries, and a recall get the stub. Who may not recall it may not.
            let mut other = message.clone();
            other["content"] = json!({"text": "other"});
            other["expires_in"] = json!(30);
            for repeat in [&message, &other] {
                assert_eq!(ann.post_message(&chat, repeat.clone()).await.ok(200), stub);
            }
            assert_eq!(ann.call("DELETE", &at).await.ok(200), stub);
            ben.call("DELETE", &at).await.problem(403, "forbidden");
            // A reply that was stored before is found again.
            let replayed = ben.post_message(&chat, reply.clone()).await.ok(200);
            assert_eq!(replayed["reply_to"]["seq"], 2);
            seen.push(stub);
        }
        assert_eq!(seen[0], seen[1]);
        // No entry was written.
        assert_eq!(ann.head().await, head);
        execute(&mut conn, ON);
        app.finish().await;
    }
}

/// The clock of the database decides, at each read.
#[tokio::test(flavor = "multi_thread")]
async fn message_expires_at_its_time() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let mut conn = app.database();
    execute(&mut conn, OFF);
    let chat = ann.direct(&ben).await;
    let sent = ann.post_message(&chat, brief("soon gone")).await.ok(201);
    let at = format!("/conversations/{chat}/messages/1");
    let time = |value: &Value| {
        value
            .as_str()
            .unwrap()
            .parse::<chrono::DateTime<chrono::Utc>>()
            .unwrap()
    };
    let lives = time(&sent["expires_at"]) - time(&sent["created_at"]);
    assert_eq!(lives.num_milliseconds(), 600_000);
    end(&mut conn, &chat, &[1], "400 milliseconds");
    assert_eq!(ben.get(&at).await.ok(200)["kind"], "text");
    let kind = async || ben.get(&at).await.ok(200)["kind"].clone();
    eventually("it expires", Duration::from_secs(5), kind, |kind| {
        kind == "expired"
    })
    .await;
    assert!(
        number(
            &mut conn,
            "SELECT count(*) AS n FROM expiring WHERE expires_at <= clock_timestamp()"
        ) == 1
    );
    // A recall of before wins, also over a sweep of later.
    ann.post_message(&chat, brief("recalled")).await.ok(201);
    let second = format!("/conversations/{chat}/messages/2");
    ann.call("DELETE", &second).await.ok(200);
    execute(
        &mut conn,
        "UPDATE expiring SET expires_at = clock_timestamp() - interval '1 second'",
    );
    execute(&mut conn, ON);
    sweep(&app).await;
    let shown = ben.get(&second).await.ok(200);
    assert_eq!(
        (&shown["kind"], shown.get("expires_at")),
        (&json!("recalled"), None)
    );
    assert_eq!(number(&mut conn, "SELECT count(*) AS n FROM expiring"), 0);
    assert_eq!(position(&ben, &chat).await, (2, 0));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conversation_has_a_time_to_live() {
    let (app, [ann, ben, eve]) = App::with(["ann", "ben", "eve"]).await;
    let chat = ann.direct(&ben).await;
    // Without it nothing is stored for the sweeper.
    let plain = ann.send(&chat, "stays").await;
    assert_eq!(plain.get("expires_at"), None);
    let mut conn = app.database();
    let unset = "SELECT count(*) AS n FROM messages WHERE extra IS NULL";
    assert_eq!(number(&mut conn, unset), 1);
    assert_eq!(number(&mut conn, "SELECT count(*) AS n FROM expiring"), 0);

    let before = ben.head().await;
    let changed = set_ttl(&ann, &chat, json!(3600)).await.ok(200);
    assert_eq!(changed["message_ttl_seconds"], 3600);
    set_ttl(&ben, &chat, json!(3600)).await.ok(200);
    let entries = ben.entries(before).await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(entries[0]["conversation"]["message_ttl_seconds"], 3600);
    let lives = |message: &Value| {
        let time = |name: &str| {
            let text = message[name].as_str().unwrap();
            text.parse::<chrono::DateTime<chrono::Utc>>().unwrap()
        };
        (time("expires_at") - time("created_at")).num_seconds()
    };
    assert_eq!(lives(&ann.send(&chat, "an hour").await), 3600);
    // The shorter wins.
    for (asked, expected) in [(600, 600), (7200, 3600)] {
        let mut message = text("asked");
        message["expires_in"] = json!(asked);
        let sent = ann.post_message(&chat, message.clone()).await.ok(201);
        assert_eq!(lives(&sent), expected);
        assert_eq!(ann.post_message(&chat, message.clone()).await.ok(200), sent);
        // What was asked for belongs to the message.
        message["expires_in"] = json!(601);
        let other = ann.post_message(&chat, message).await;
        other.problem(422, "client_msg_id_reused");
    }
    assert_eq!(
        set_ttl(&ben, &chat, Value::Null).await.ok(200)["message_ttl_seconds"],
        Value::Null
    );
    assert_eq!(ann.send(&chat, "stays").await.get("expires_at"), None);

    for (body, pointer) in [
        (json!({}), ""),
        (json!({"message_ttl_seconds": 9}), "/message_ttl_seconds"),
        (
            json!({"message_ttl_seconds": 31_536_001}),
            "/message_ttl_seconds",
        ),
        (json!({"message_ttl_seconds": "10"}), "/message_ttl_seconds"),
        (json!({"title": null}), "/title"),
    ] {
        let answer = ann.patch(&format!("/conversations/{chat}"), body).await;
        let problem = answer.problem(400, "validation");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let both = json!({"title": "x", "message_ttl_seconds": 10});
    let answer = ann
        .patch(&format!("/conversations/{chat}"), both.clone())
        .await;
    answer.problem(400, "validation");
    for wrong in [json!(9), json!(31_536_001), json!(1.5), json!("10")] {
        let mut message = text("x");
        message["expires_in"] = wrong;
        let problem = ann
            .post_message(&chat, message)
            .await
            .problem(400, "validation");
        assert_eq!(problem["errors"][0]["pointer"], "/expires_in");
    }
    set_ttl(&eve, &chat, json!(10))
        .await
        .problem(404, "not_found");
    ben.block(&ann).await.ok(204);
    for one in [&ann, &ben] {
        set_ttl(one, &chat, json!(10)).await.problem(403, "blocked");
    }
    // In a group: the owner and admins.
    let group = ann.group(&[&eve]).await;
    set_ttl(&eve, &group, json!(10))
        .await
        .problem(403, "forbidden");
    let shown = ann
        .patch(&format!("/conversations/{group}"), both)
        .await
        .ok(200);
    assert_eq!(
        (&shown["title"], &shown["message_ttl_seconds"]),
        (&json!("x"), &json!(10))
    );
    assert_eq!(lives(&eve.send(&group, "brief").await), 10);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sweep_moves_the_counts_over_the_expired_beginning() {
    for fanout_limit in [500, 1] {
        let is_large = fanout_limit == 1;
        let app = App::configured(|config| config.fanout_limit = fanout_limit).await;
        let [ann, ben, cat] = app.people(["ann", "ben", "cat"]).await;
        let mut conn = app.database();
        execute(&mut conn, OFF);
        let chat = ann.group(&[&ben, &cat]).await;
        for n in 1..=3 {
            ann.post_message(&chat, brief(&format!("{n}")))
                .await
                .ok(201);
        }
        ann.send(&chat, "4 stays").await;
        let mut named = brief("5");
        named["content"]["mentions"] = json!([ben.id]);
        named["mention_all"] = json!(true);
        ann.post_message(&chat, named).await.ok(201);
        ann.send(&chat, "6 is recalled").await;
        cat.read(&chat, 1).await;
        let marked = format!("/conversations/{chat}/marked_unread");
        ben.put(&marked, Value::Null).await.ok(204);
        assert_eq!(ben.total().await, 6);
        let before = [ben.head().await, cat.head().await];
        pass(&mut conn, &chat, &[1, 2, 3, 5]);
        // Until the sweep, they count.
        assert_eq!(position(&ben, &chat).await, (0, 6));
        execute(&mut conn, ON);
        sweep(&app).await;
        for who in [&ben, &cat] {
            assert_eq!(position(who, &chat).await, (3, 3));
            assert_eq!(who.total().await, 3);
        }
        let mentions = ben.get("/unread?mentions=true").await.ok(200);
        assert_eq!(mentions["total_mentions"], 0, "{mentions}");
        let read = |marked: bool| {
            let entry =
                json!({"kind": "read", "read_seq": 3, "unread": 3, "marked_unread": marked});
            if is_large { vec![] } else { vec![entry] }
        };
        for (who, since, marked) in [(&ben, before[0], true), (&cat, before[1], false)] {
            let entries = who.entries(since).await.into_iter();
            let entries: Vec<_> = entries
                .map(|one| json!({"kind": one["kind"], "read_seq": one["read_seq"], "unread": one["unread"], "marked_unread": one["marked_unread"]}))
                .collect();
            assert_eq!(entries, read(marked));
        }
        // A second sweep, and a mark below the floor, change nothing.
        sweep(&app).await;
        let mark = cat.read(&chat, 2).await;
        assert_eq!((&mark["read_seq"], &mark["unread"]), (&json!(3), &json!(3)));
        assert_eq!(cat.total().await, 3);
        // The prefix goes on when the message in between is gone, over recalled ones too.
        ann.call("DELETE", &format!("/conversations/{chat}/messages/6"))
            .await
            .ok(200);
        ann.call("DELETE", &format!("/conversations/{chat}/messages/4"))
            .await
            .ok(200);
        ann.post_message(&chat, brief("7")).await.ok(201);
        pass(&mut conn, &chat, &[7]);
        sweep(&app).await;
        assert_eq!(position(&ben, &chat).await, (7, 0));
        assert_eq!(ben.total().await, 0);
        ann.send(&chat, "8").await;
        assert_eq!(position(&ben, &chat).await, (7, 1));
        let kinds: Vec<_> = ben.history(&chat, 0).await;
        let kinds: Vec<_> = kinds.iter().map(|one| one["kind"].clone()).collect();
        assert_eq!(
            kinds,
            [
                "expired", "expired", "expired", "recalled", "expired", "recalled", "expired",
                "text"
            ]
        );
        // The counts of Redis are those that PostgreSQL computes again.
        app.flush_redis().await;
        assert_eq!(ben.total().await, 1);
        app.finish().await;
    }
}

/// More than a slice, in several conversations, by two nodes together.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sweep_takes_all_slices() {
    let (mut app, [ann, ben]) = App::with(["ann", "ben"]).await;
    app.add_node().await;
    let mut conn = app.database();
    execute(&mut conn, OFF);
    let (first, second) = (ann.direct(&ben).await, ann.group(&[&ben]).await);
    for chat in [&first, &second] {
        set_ttl(&ann, chat, json!(600)).await.ok(200);
        for _ in 0..4 {
            let batch: Vec<_> = (0..100).map(|_| text("brief")).collect();
            let path = format!("/conversations/{chat}/messages/batch");
            ann.post(&path, json!({"messages": batch})).await.ok(200);
        }
        ann.post_message(
            chat,
            json!({"client_msg_id": id(), "kind": "text", "content": {"text": "later"}}),
        )
        .await
        .ok(201);
        let all: Vec<_> = (1..=400).collect();
        pass(&mut conn, chat, &all);
    }
    execute(&mut conn, ON);
    let sweeps = app
        .nodes
        .iter()
        .map(|node| expiry::sweep(&node.handles.delivery));
    futures_util::future::join_all(sweeps).await;
    sweep(&app).await;
    assert_eq!(number(&mut conn, "SELECT count(*) AS n FROM expiring"), 2);
    for chat in [&first, &second] {
        assert_eq!(position(&ben, chat).await, (400, 1));
    }
    assert_eq!(ben.total().await, 2);
    app.finish().await;
}
