//! No plan may scan: every statement of a node, as PostgreSQL executes it on a filled database.
//!
//! `auto_explain`, a contrib module of PostgreSQL, logs each executed plan with its row counts, for the sessions of this one
//! database. So these are the plans of the node's own connections, with their settings. Each statement is planned twice: with
//! the statistics of nearly empty tables, kept while they grow, and with those of the grown tables.

mod executed;
pub mod source;

use crate::identity::tokens::refreshed;
use crate::support::media::{PIXEL, file};
use crate::support::requests::{Scene, operations};
use crate::support::{App, PASSWORD, Person, eventually, execute, id, text};
use diesel::{Connection, PgConnection};
use executed::{faults, indexes, plans};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tideline::domain::media::{collection, processing};
use tideline::domain::messaging::{reactions, scheduled};
use tideline::domain::operations::{account_erasure, expiry, retention};
use tideline::domain::people::contact_requests;
use tideline::domain::search::indexing;
use tideline::domain::sync::{delivered, presence, unread};
use tideline::engine::waiting::reconcile;
use tideline::model::ids::{ConversationId, MediaId, UserId};
use tideline::model::time::Timestamp;
use tideline::storage::pg::media::uploads;

/// Autovacuum would update the statistics at any time.
const EXPLAIN: &str = "DO $$ DECLARE it text; BEGIN
    FOREACH it IN ARRAY ARRAY['session_preload_libraries = auto_explain', 'auto_explain.log_min_duration = 0',
        'auto_explain.log_analyze = on', 'auto_explain.log_timing = off', 'auto_explain.log_format = json'] LOOP
        EXECUTE format('ALTER DATABASE %I SET %s', current_database(), it);
    END LOOP;
    FOR it IN SELECT oid::regclass FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP
        EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', it);
    END LOOP;
END $$";

/// The messages that ann sent with a time have expired.
const TIME_PASSES: &str = "
    UPDATE messages m SET extra = '{\"expires_at\": \"2026-01-01T00:00:00Z\"}' FROM expiring e
    WHERE m.conversation_id = e.conversation_id AND m.seq = e.seq AND e.expires_at < now() + interval '1 day';
    UPDATE expiring SET expires_at = '2026-01-01T00:00:00Z' WHERE expires_at < now() + interval '1 day'";

/// Requests can be made again, and nobody is on a list.
const RELATIONS_END: &str = "
    DELETE FROM contact_requests WHERE ended_at IS NOT NULL;
    DELETE FROM contacts WHERE owner_id IN (SELECT id FROM users WHERE username NOT LIKE 'stranger%')";

/// The media of strangers have no objects.
const STRANGERS_MEDIA: &str = "
    DELETE FROM message_media WHERE owner_id IN (SELECT id FROM users WHERE username LIKE 'stranger%');
    DELETE FROM media_parts WHERE owner_id IN (SELECT id FROM users WHERE username LIKE 'stranger%');
    DELETE FROM media WHERE owner_id IN (SELECT id FROM users WHERE username LIKE 'stranger%');
    DELETE FROM media_usage WHERE owner_id IN (SELECT id FROM users WHERE username LIKE 'stranger%')";

/// Statements that no node sends while it serves, by some of their words, and when they are sent.
const NOT_SERVING: [(&str, &str); 11] = [
    (
        "sum(bytes)",
        "every half minute, if there is a limit for all users",
    ),
    ("hashtext('tideline migrations')", "before a node starts"),
    ("hashtext('tideline partitions')", "around a new partition"),
    ("UPDATE instance SET epoch", "by an operator: a new epoch"),
    ("TRUNCATE inbox", "by an operator: a new epoch"),
    (
        "SELECT id FROM users WHERE id > COALESCE",
        "by an operator: a new epoch",
    ),
    (
        "SELECT id, $1, now() FROM unnest",
        "by an operator: a new epoch",
    ),
    (
        "SELECT epoch FROM instance FOR SHARE",
        "by an operator: a new epoch",
    ),
    ("'!' FROM made", "before a test of load"),
    ("'seed', 'web'", "before a test of load"),
    ("DISTINCT ON (n.username)", "before a test of load"),
];

/// Sends a request that must succeed.
async fn ask(who: &Person, method: &str, path: &str, body: Value) -> Value {
    let body = Some(&body).filter(|body| !body.is_null());
    let answer = who.try_call(method, path, body).await.unwrap();
    assert!(answer.status < 300, "{method} {path}: {}", answer.body);
    answer.body
}

async fn get(who: &Person, path: &str) -> Value {
    ask(who, "GET", path, Value::Null).await
}

/// A valid request of every operation, in a group of ann and ben.
async fn operate(app: &App, [ann, ben, cat, ..]: &[Person; 5], chat: &str) {
    for operation in operations() {
        if operation.id == "update_member" {
            // Another operation has removed the member.
            ann.add(chat, &[ben]).await.ok(200);
        }
        let scene = Scene {
            caller: ann,
            chat,
            member: ben,
            stranger: cat,
        };
        let request = operation.good(app, &scene).await;
        let answer = request.send_as(ann).await;
        assert!(answer.status < 300, "{}: {}", operation.id, answer.body);
        if ["ban_user", "block_user"].contains(&operation.id.as_str()) {
            // Later operations need this user.
            let path = request.path.strip_prefix("/v1").unwrap();
            ann.call("DELETE", path).await.ok(204);
        }
    }
}

/// More requests of ann in a group.
async fn talk([ann, ben, cat, dan, _]: &[Person; 5], chat: &str) {
    let path = format!("/conversations/{chat}");
    let mut message = text("once");
    message["content"]["mentions"] = json!([ben.id, dan.id]);
    ann.post_message(chat, message.clone()).await.ok(201);
    ann.post_message(chat, message).await.ok(200);
    let batch: Vec<_> = (0..20).map(|_| text("one of many")).collect();
    let batch = json!({"messages": batch});
    ask(ann, "POST", &format!("{path}/messages/batch"), batch).await;
    let head = get(ann, &path).await["last_seq"].as_i64().unwrap();
    for at in [0, head / 2, head] {
        for way in ["since", "before"] {
            get(ann, &format!("{path}/messages?{way}_seq={at}&limit=20")).await;
        }
    }
    ann.add(chat, &[cat]).await.ok(200);
    change_messages(ann, cat, &path).await;
    ann.change(chat, cat, json!({"role": "admin"})).await;
    get(ann, &format!("{path}/members?limit=3")).await;
    cat.remove(chat, cat).await.ok(204);
    // Messages as of leaving.
    let head = cat.head().await;
    get(
        cat,
        &format!("/inbox?since_seq={}&limit=500", (head - 100).max(0)),
    )
    .await;
    ann.change(chat, ben, json!({"muted_until": "2100-01-01T00:00:00Z"}))
        .await
        .ok(200);
    ann.remove(chat, ben).await.ok(204);
    ann.add(chat, &[ben]).await.ok(200);
}

/// Changes of messages, and what is read of them.
async fn change_messages(ann: &Person, cat: &Person, chat: &str) {
    let seq = ask(ann, "POST", &format!("{chat}/messages"), text("x")).await["seq"].clone();
    let at = format!("{chat}/messages/{seq}");
    ask(
        ann,
        "PATCH",
        &at,
        json!({"version": 1, "content": {"text": "y"}}),
    )
    .await;
    for who in [ann, cat] {
        ask(who, "PUT", &format!("{at}/reactions/x"), Value::Null).await;
    }
    ask(ann, "DELETE", &format!("{at}/reactions/x"), Value::Null).await;
    get(ann, &format!("{at}/versions")).await;
    let users = get(ann, &format!("{at}/reactions?limit=1")).await;
    let cursor = users["next_cursor"].as_str().unwrap();
    get(ann, &format!("{at}/reactions?cursor={cursor}")).await;
    get(ann, &format!("{at}/reactions?emoji=x")).await;
    for method in ["PUT", "DELETE", "PUT"] {
        ask(ann, method, &format!("{chat}/pins/{seq}"), Value::Null).await;
    }
    get(ann, &format!("{chat}/pins")).await;
    let source = json!({"conversation_id": chat.trim_start_matches("/conversations/"), "seq": seq});
    let forward = json!({"client_msg_id": id(), "forward": source});
    ask(cat, "POST", &format!("{chat}/messages"), forward).await;
    ask(ann, "PATCH", chat, json!({"slow_mode_seconds": 1})).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let now = cat.post(&format!("{chat}/messages"), text("slow")).await;
    assert!([201, 429].contains(&now.status), "{}", now.body);
    ask(ann, "PATCH", chat, json!({"slow_mode_seconds": 0})).await;
    get(ann, &format!("{chat}/messages?changed_since=0&limit=20")).await;
    get(ann, chat).await;
    let mut brief = text("x");
    brief["expires_in"] = json!(600);
    brief["content"]["mentions"] = json!([cat.id]);
    let brief = ask(ann, "POST", &format!("{chat}/messages"), brief).await["seq"].clone();
    let reaction = format!("{chat}/messages/{brief}/reactions/x");
    ask(ann, "PUT", &reaction, Value::Null).await;
    let mut recalled = text("x");
    recalled["expires_in"] = json!(600);
    let recalled = ask(ann, "POST", &format!("{chat}/messages"), recalled).await["seq"].clone();
    let recalled = format!("{chat}/messages/{recalled}");
    ask(ann, "DELETE", &recalled, Value::Null).await;
    ask(ann, "PATCH", chat, json!({"message_ttl_seconds": 600})).await;
    ask(ann, "PATCH", chat, json!({"message_ttl_seconds": null})).await;
    // Of a message that is edited while a former member has it in the inbox.
    ask(cat, "PUT", &format!("{chat}/read"), json!({"seq": seq})).await;
    let mut answer = text("x");
    answer["reply_to"] = seq.clone();
    answer["content"]["mentions"] = json!([ann.id]);
    let mut everyone = text("x");
    everyone["mention_all"] = json!(true);
    let everyone = ask(ann, "POST", &format!("{chat}/messages"), everyone).await["seq"].clone();
    let last = ask(cat, "POST", &format!("{chat}/messages"), answer).await["seq"].clone();
    get(ann, &format!("{at}/replies")).await;
    ask(
        ann,
        "DELETE",
        &format!("{chat}/messages/{everyone}"),
        Value::Null,
    )
    .await;
    get(
        ann,
        &format!("{chat}/messages?since_seq=1&limit=20&with_replied=true"),
    )
    .await;
    get(ann, &format!("{chat}/messages?seqs=1,{last}")).await;
    get(ann, "/unread?mentions=true").await;
    get(ann, "/conversations?limit=20").await;
    let named = get(ann, "/mentions?limit=1").await;
    let cursor = named["next_cursor"].as_str().unwrap();
    get(ann, &format!("/mentions?before={cursor}")).await;
    ask(
        ann,
        "DELETE",
        &format!("{chat}/messages/{last}"),
        Value::Null,
    )
    .await;
}

/// Searches in the tails of conversations and in their index, and the indexer.
async fn find(app: &App, [ann, ..]: &[Person; 5], chat: &str) {
    let delivery = &app.nodes[0].handles.delivery;
    let path = format!("/conversations/{chat}/messages");
    let many: Vec<_> = (0..70).map(|_| text("one of many")).collect();
    let batch = json!({"messages": many});
    let sent = ask(ann, "POST", &format!("{path}/batch"), batch).await;
    let last = sent["results"][69]["message"]["seq"].as_i64().unwrap();
    for _ in 0..2 {
        for q in [
            "q=many&limit=1",
            // The second page begins within a block.
            "q=many&limit=50",
            &format!("q=many&limit=1&conversation_id={chat}"),
        ] {
            let page = get(ann, &format!("/search/messages?{q}")).await;
            let cursor = page["next_cursor"].as_str().unwrap();
            get(ann, &format!("/search/messages?{q}&cursor={cursor}")).await;
        }
        indexing::index(delivery, ConversationId(chat.parse().unwrap()))
            .await
            .unwrap();
    }
    ask(ann, "DELETE", &format!("{path}/{}", last - 60), Value::Null).await;
    indexing::write_marked(delivery).await.unwrap();
    indexing::sweep(delivery, None).await.unwrap();
    indexing::rebuild(delivery, |_| ()).await.unwrap();
}

/// Uploads in their states, messages with media, and the collection.
async fn attach(app: &App, conn: &mut PgConnection, [ann, ben, ..]: &[Person; 5], chat: &str) {
    let delivery = &app.nodes[0].handles.delivery;
    let media = ann.upload(&[7; 10]).await;
    let sent = ann.attach(chat, "file", &media).await.ok(201);
    let unmuted = json!({"muted_until": null});
    ann.change(chat, ben, unmuted).await.ok(200);
    ben.attach(chat, "file", &media).await.ok(201);
    let forward =
        json!({"client_msg_id": id(), "forward": {"conversation_id": chat, "seq": sent["seq"]}});
    ann.post_message(chat, forward).await.ok(201);
    let later = json!({"conversation_id": chat, "send_at": crate::support::tomorrow(), "kind": "file",
        "content": {"media_id": media}});
    let scheduled = format!("/me/scheduled/{}", id());
    ask(ann, "PUT", &scheduled, later).await;
    ask(ann, "DELETE", &scheduled, Value::Null).await;
    let recall = format!("/conversations/{chat}/messages/{}", sent["seq"]);
    ask(ann, "DELETE", &recall, Value::Null).await;
    let page = get(ann, "/media?limit=1").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    get(ann, &format!("/media?limit=1&cursor={cursor}")).await;
    // A picture that is none, with a part that is sent twice; an upload that no run has, and one that nobody sends.
    let refused = json!({"client_media_id": id(), "kind": "image", "name": "x", "mime": "image/png", "size": 10});
    let refused = ann.begin_upload(refused).await;
    for _ in 0..2 {
        ann.put_parts(&refused, &[7; 10]).await;
    }
    let path = format!(
        "/media/{}/complete",
        refused["media"]["id"].as_str().unwrap()
    );
    ask(ann, "POST", &path, Value::Null).await;
    for state in ["processing", "uploading"] {
        let upload = ann.begin_upload(file(10)).await;
        ann.put_parts(&upload, &[7; 10]).await;
        let passed = format!(
            "UPDATE media SET state = '{state}', lease_until = CASE '{state}' WHEN 'processing' THEN now() END,
                 expires_at = now() - interval '1 second' WHERE id = '{}'",
            upload["media"]["id"].as_str().unwrap()
        );
        execute(conn, &passed);
    }
    // Pictures of a person and a group, the second of which is the same.
    for _ in 0..2 {
        let picture = ann.upload_image("image/png", PIXEL).await;
        let change = json!({"avatar_media_id": picture});
        let me = ask(ann, "PATCH", "/me", change.clone()).await;
        let group = ask(ann, "PATCH", &format!("/conversations/{chat}"), change).await;
        for shown in [me, group] {
            let path = &shown["avatar_url"].as_str().unwrap()["/v1".len()..];
            ann.read_bytes(path, &[]).await.ok(200);
        }
        let path = format!("/media/{picture}");
        ann.call("DELETE", &path).await.problem(409, "conflict");
        for link in ann.avatar_links(&ann.id, chat).await {
            ann.open_link(&link, &[]).await.ok(200);
        }
    }
    processing::take_over(delivery).await.unwrap();
    execute(
        conn,
        "UPDATE blob_deletions SET due_at = now() WHERE store_key IN (
        SELECT store_key FROM blob_deletions ORDER BY store_key LIMIT 10)",
    );
    // A directory cannot be deleted as an object.
    execute(
        conn,
        "INSERT INTO blob_deletions (store_key, due_at) VALUES ('store', now())
         ON CONFLICT (store_key) DO UPDATE SET due_at = now()",
    );
    collection::collect(delivery).await.unwrap();
    execute(
        conn,
        "UPDATE media SET expires_at = now() - interval '1 second' WHERE state = 'deleted'",
    );
    collection::collect(delivery).await.unwrap();
    // A run that takes long, and one whose decoder fails.
    let key = (
        UserId(ann.id.parse().unwrap()),
        MediaId(media.parse().unwrap()),
    );
    let run = move |conn: &mut PgConnection| {
        uploads::renew(conn, key.0, key.1, key.1.0, 1)?;
        uploads::failed(conn, key.0, key.1)
    };
    delivery.pg.read("media_run", run).await.unwrap();
}

/// Contacts and requests in their states.
async fn relate(app: &App, [ann, ben, cat, dan, _]: &[Person; 5]) {
    let contact = |one: &Person| format!("/me/contacts/{}", one.id);
    let request = |one: &Person| format!("/me/contact-requests/{}", one.id);
    for one in [ben, cat] {
        ask(ann, "PUT", &contact(one), json!({"tags": ["x"]})).await;
    }
    let page = get(ann, "/me/contacts?limit=1&tag=x&state=contact").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    get(ann, &format!("/me/contacts?limit=1&cursor={cursor}")).await;
    for one in [ann, dan] {
        ask(one, "PUT", &request(ben), json!({})).await;
        get(ben, "/me/contact-requests?direction=in&limit=1").await;
        ask(ben, "POST", &format!("{}/accept", request(one)), json!({})).await;
    }
    get(ann, &format!("/users/{}/mutual-contacts/count", dan.id)).await;
    ask(
        dan,
        "PATCH",
        "/me/privacy",
        json!({"contact_request": "contacts", "direct": "contacts"}),
    )
    .await;
    ann.put(&request(dan), json!({}))
        .await
        .problem(403, "not_accepted");
    ask(
        dan,
        "PATCH",
        "/me/privacy",
        json!({"contact_request": null, "direct": null}),
    )
    .await;
    ask(ann, "PUT", &request(dan), json!({})).await;
    ask(ann, "DELETE", &request(dan), Value::Null).await;
    for one in [ann, dan] {
        ask(ben, "DELETE", &contact(one), Value::Null).await;
    }
    let delivery = &app.nodes[0].handles.delivery;
    contact_requests::delete_expired(delivery).await;
}

/// All other causes of queries.
async fn work(app: &App, [ann, ben, _, dan, eve]: &[Person; 5], large: &str) {
    let again = json!({"username": eve.name, "password": PASSWORD, "device": {"id": eve.device}});
    let again = app.call("POST", "/v1/auth/login", Some(again)).await;
    let again = Person::of_session(app, &again.ok(200));
    get(&refreshed(app, &again.refresh_token).await, "/me").await;

    // A group that switches to read fan-out, and whose owner leaves.
    let make = json!({"kind": "group", "title": "x", "member_ids": [ben.id], "client_conversation_id": id()});
    let made = ask(ann, "POST", "/conversations", make.clone()).await;
    assert_eq!(ask(ann, "POST", "/conversations", make).await, made);
    let made = made["id"].as_str().unwrap();
    ann.add(made, &[dan, eve]).await.ok(200);
    ann.remove(made, ann).await.ok(204);

    let draft = format!("/conversations/{large}/draft");
    let text = json!({"version": 0, "content": {"text": "x"}, "after_seq": 0});
    ask(ann, "PUT", &draft, text).await;
    ask(ann, "DELETE", &format!("{draft}?version=1"), Value::Null).await;
    let cleared = format!("/conversations/{large}/cleared");
    ask(ann, "PUT", &cleared, json!({"seq": 1})).await;

    // A message that is sent, one that fails, and one that waits.
    let mut soon = json!({"conversation_id": large, "send_at": "2026-01-01T00:00:00Z", "kind": "text", "content": {"text": "x"}});
    ask(ann, "PUT", &format!("/me/scheduled/{}", id()), soon.clone()).await;
    soon["reply_to"] = json!(1_000_000);
    ask(ann, "PUT", &format!("/me/scheduled/{}", id()), soon.clone()).await;
    soon["send_at"] = json!(crate::support::tomorrow());
    for _ in 0..2 {
        ask(ann, "PUT", &format!("/me/scheduled/{}", id()), soon.clone()).await;
    }
    let node = &app.nodes[0].handles;
    scheduled::fire(&node.delivery).await;
    let page = get(ann, "/me/scheduled?limit=1").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    get(ann, &format!("/me/scheduled?cursor={cursor}")).await;
    let head = ann.head().await;
    for since in [0, head / 2, (head - 20).max(0), head] {
        get(ann, &format!("/inbox?since_seq={since}&limit=50")).await;
    }
    let trimmed = dan.get("/inbox?since_seq=0").await;
    trimmed.problem(410, "inbox_trimmed");
    for order in ["id", "activity"] {
        let path = format!("/conversations?order={order}&limit=3");
        let page = get(ann, &path).await;
        let next = page["next_cursor"].as_str().unwrap();
        get(ann, &format!("{path}&cursor={next}")).await;
    }
    let node = &app.nodes[0].handles;
    let last = get(ann, &format!("/conversations/{large}")).await["last_seq"].clone();
    let path = format!("/notices?since_seq={head}&timeout=20&watch={large}:{last}");
    let parked = async || node.delivery.waiters.count();
    tokio::join!(get(ann, &path), async {
        eventually("ann waits", Duration::from_secs(10), parked, |n| *n == 1).await;
        reconcile::once(&node.delivery).await;
        ann.send(large, "moved").await;
    });
    delivered::flush(&node.delivery).await;
    let user = UserId(ann.id.parse().unwrap());
    node.delivery.waiters.presence.mine.keep_seen([(user, 0)]);
    presence::store_last_seen(&node.delivery, 0, &mut presence::Heartbeat::default()).await;
    // Counts with and without a hash in Redis.
    ann.unread().await;
    let start = Default::default();
    unread::audit_some(&node.delivery, start).await.unwrap();
    app.flush_redis().await;
    ann.unread().await;
    let long_ago = Timestamp("2026-01-01T00:00:00Z".parse().unwrap());
    reactions::erase_recalled(&node.delivery).await;
    retention::expire_before(&node.delivery, long_ago, |_| ())
        .await
        .unwrap();
}

/// Accounts that end: one that is erased, with everything that it has, and one without a password.
async fn end_accounts(app: &App, conn: &mut PgConnection, [ann, ben, _, _, eve]: &[Person; 5]) {
    let delivery = &app.nodes[0].handles.delivery;
    let name = || format!("end-{}", &id()[24..]);
    let [gone, other] = app.people([name().as_str(), name().as_str()]).await;
    ask(&gone, "PATCH", "/me", json!({"username": name()})).await;
    ask(&gone, "PATCH", "/me", json!({"username": gone.name})).await;
    get(ann, "/users/search?prefix=stranger").await;
    get(ann, "/users/search?prefix=end-").await;
    let made = json!({"kind": "group", "title": "x", "member_ids": [ben.id], "client_conversation_id": id()});
    let group = ask(&gone, "POST", "/conversations", made).await["id"].clone();
    let group = format!("/conversations/{}", group.as_str().unwrap());
    let chat = format!("/conversations/{}", gone.direct(ann).await);
    for place in [&group, &chat] {
        let draft = json!({"version": 0, "content": {"text": "x"}, "after_seq": 0});
        ask(&gone, "PUT", &format!("{place}/draft"), draft).await;
        let mut message = text("you");
        message["content"]["mentions"] = json!([gone.id]);
        let by = if place == &chat { ann } else { ben };
        ask(by, "POST", &format!("{place}/messages"), message).await;
        ask(
            &gone,
            "PUT",
            &format!("{place}/hidden"),
            json!({"seqs": [1]}),
        )
        .await;
        let later = json!({"conversation_id": place.rsplit('/').next(), "send_at": crate::support::tomorrow(),
            "kind": "text", "content": {"text": "x"}});
        ask(&gone, "PUT", &format!("/me/scheduled/{}", id()), later).await;
    }
    ask(&gone, "PUT", &format!("/me/blocks/{}", ann.id), Value::Null).await;
    ask(&gone, "PUT", &format!("/me/contacts/{}", eve.id), json!({})).await;
    ask(eve, "PUT", &format!("/me/contacts/{}", gone.id), json!({})).await;
    ask(
        &gone,
        "PUT",
        &format!("/me/contact-requests/{}", other.id),
        json!({}),
    )
    .await;
    ask(&gone, "DELETE", "/me", json!({"password": PASSWORD})).await;
    let due = "UPDATE users SET erase_at = now() WHERE erase_at IS NOT NULL;
        UPDATE usernames SET reserved_until = now() - interval '1 day' WHERE username LIKE 'end-%' AND reserved_until IS NOT NULL";
    execute(conn, due);
    account_erasure::erase_due(delivery).await;

    let no_password = format!(
        "UPDATE users SET password_hash = '!' WHERE id = '{}'",
        other.id
    );
    execute(conn, &no_password);
    ask(&other, "POST", "/me/deactivate", json!({})).await;
    let back = format!(
        "UPDATE users SET password_hash = (SELECT password_hash FROM users WHERE id = '{}') WHERE id = '{}'",
        ann.id, other.id
    );
    execute(conn, &back);
    other.another_device(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_is_a_key_lookup_or_a_short_range() {
    let (_, start) = plans(0);
    let app = App::configured(|config| {
        let url = &config.database_url.0;
        execute(&mut PgConnection::establish(url).unwrap(), EXPLAIN);
        // One connection for reads and one for the writer, so that a repeated statement reuses its first plan.
        (config.writers, config.db_pool) = (1, 2);
        config.fanout_limit = 3;
    })
    .await;
    let mut conn = app.database();
    execute(&mut conn, "SET auto_explain.log_min_duration = -1");
    let people = app.people(["ann", "ben", "cat", "dan", "eve"]).await;
    let [ann, ben, _, dan, eve] = &people;
    let mut chats = Vec::new();
    for _ in 0..3 {
        let small = ann.group(&[ben]).await;
        ann.send(&small, "one").await;
        let large = ann.group(&[ben, dan, eve]).await;
        ann.send(&large, "one").await;
        chats.push((small, large));
    }
    let trim = format!(
        "DELETE FROM inbox WHERE receiver_id = '{}' AND seq = 1",
        dan.id
    );
    execute(&mut conn, &trim);
    let times = ["ANALYZE", include_str!("plans/fill.sql"), "ANALYZE"];
    for (time, (small, large)) in times.iter().zip(&chats) {
        execute(&mut conn, time);
        operate(&app, &people, small).await;
        talk(&people, small).await;
        talk(&people, large).await;
        work(&app, &people, large).await;
        find(&app, &people, small).await;
        attach(&app, &mut conn, &people, small).await;
        relate(&app, &people).await;
        execute(&mut conn, RELATIONS_END);
        end_accounts(&app, &mut conn, &people).await;
        execute(&mut conn, TIME_PASSES);
        expiry::sweep(&app.nodes[0].handles.delivery).await;
    }

    let (all, end) = plans(start);
    let indexes = indexes(&mut conn);
    let judged = all
        .iter()
        .map(|plan| (&plan.statement, faults(plan, &indexes)));
    let wrong = judged.filter(|(_, faults)| !faults.is_empty());
    // One plan of each statement is enough.
    let wrong = wrong.collect::<BTreeMap<_, _>>();
    assert_eq!(wrong, BTreeMap::new());
    let seen: BTreeSet<_> = all.into_iter().map(|plan| plan.statement).collect();
    let mut unseen = source::statements();
    unseen.retain(|one| {
        !seen.contains(one) && !NOT_SERVING.iter().any(|(words, _)| one.contains(words))
    });
    assert_eq!(unseen, BTreeSet::new(), "nothing above sends these");

    // The check detects plans that scan.
    let large = &chats[2].1;
    let bad = [
        "SELECT FROM users WHERE display_name = 'Ann'".to_owned(),
        "SELECT FROM usernames ORDER BY username LIMIT 1".to_owned(),
        format!("SELECT FROM blocks WHERE blocked_id = '{}'", ann.id),
        format!("SELECT FROM members WHERE conversation_id = '{large}' AND role = 'owner'"),
        format!("SELECT FROM messages WHERE conversation_id > '{large}' AND seq = 0"),
        format!(
            "SELECT FROM inbox WHERE receiver_id = '{}' ORDER BY at LIMIT 1",
            ann.id
        ),
    ];
    execute(
        &mut conn,
        "SET auto_explain.log_min_duration = 0; SET enable_seqscan = off",
    );
    for statement in &bad {
        execute(&mut conn, statement);
    }
    let (all, _) = plans(end);
    for statement in &bad {
        let mut of_it = all.iter().filter(|plan| plan.statement == *statement);
        assert!(
            of_it.any(|plan| !faults(plan, &indexes).is_empty()),
            "{statement}"
        );
    }
    execute(&mut conn, "SET auto_explain.log_min_duration = -1");
    execute(&mut conn, STRANGERS_MEDIA);
    app.finish().await;
}
