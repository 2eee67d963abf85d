//! The erasure of accounts: what it leaves, and that nothing interrupts it.

use crate::people::account_end::{delete, due_immediately, erase_due, login, proof, user};
use crate::support::media::PIXEL;
use crate::support::{App, PASSWORD, Person, execute, id, number, text, tomorrow};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;
use tideline::domain::messaging::scheduled;
use tideline::domain::operations::account_erasure::{self, Step};

/// What a person has in every place: text that only the person sees, a name, relations. `who` owns a group, is an admin of another one
/// and a muted member of a third.
async fn life(app: &App, who: &Person, [ben, cat, dan, eve]: &[Person; 4]) -> [String; 4] {
    let own = "canary-own";
    let profile = json!({"display_name": format!("Display {}", who.name), "bio": own, "attributes": {"about": own},
        "avatar_url": "https://files.example/canary-own.png"});
    who.patch("/me", profile).await.ok(200);
    let status = json!({"availability": "busy", "text": own});
    who.put("/me/status", status).await.ok(200);
    let privacy = json!({"direct": "contacts", "contacts_visible": "everyone"});
    who.patch("/me/privacy", privacy).await.ok(200);
    // A friend, somebody who has noted the person, requests in both directions, and one that was declined.
    let ask = async |from: &Person, to: &Person| {
        let path = format!("/me/contact-requests/{}", to.id);
        from.put(&path, json!({"message": own})).await
    };
    ask(who, eve).await.ok(201);
    ask(eve, who).await.ok(200);
    for (of, person) in [(who, eve), (eve, who), (dan, who)] {
        let path = format!("/me/contacts/{}", person.id);
        let notes = json!({"alias": own, "tags": [own]});
        of.put(&path, notes).await.ok(200);
    }
    ask(who, ben).await.ok(201);
    ask(cat, who).await.ok(201);
    ask(dan, who).await.ok(201);
    let path = format!("/me/contact-requests/{}/decline", dan.id);
    who.post(&path, Value::Null).await.ok(204);

    let device = json!({"username": who.name, "password": PASSWORD, "device": {"name": own, "platform": "ios"}});
    app.call("POST", "/v1/auth/login", Some(device))
        .await
        .ok(200);
    let picture = json!({"client_media_id": id(), "kind": "image", "name": own, "mime": "image/png", "size": PIXEL.len()});
    let picture = who.upload_as(picture, PIXEL).await["id"].clone();
    let chat = who.direct(ben).await;
    who.send(&chat, "words").await;
    ben.send(&chat, "answer").await;
    let mine = json!({"kind": "group", "title": "Mine", "member_ids": [ben.id, cat.id], "client_conversation_id": id()});
    let mine = who.post("/conversations", mine).await.ok(201)["id"].clone();
    let mine = mine.as_str().unwrap().to_owned();
    // Shown by a group, and never sent.
    let shown = json!({"avatar_media_id": picture});
    who.patch(&format!("/conversations/{mine}"), shown)
        .await
        .ok(200);
    let unsent = json!({"client_media_id": id(), "kind": "file", "name": own, "mime": "text/plain", "size": 1});
    who.begin_upload(unsent).await;
    who.change(&mine, cat, json!({"role": "admin"}))
        .await
        .ok(200);
    let other = ben.group(&[who, cat]).await;
    ben.change(&other, who, json!({"muted_until": "2100-01-01T00:00:00Z"}))
        .await
        .ok(200);
    let channel =
        json!({"kind": "channel", "title": "News", "member_ids": [who.id], "public": true});
    let channel = dan.post("/conversations", channel).await.ok(201)["id"].clone();
    let channel = channel.as_str().unwrap().to_owned();
    for place in [&chat, &mine, &other] {
        let draft = json!({"version": 0, "content": {"text": own}, "after_seq": 0});
        who.put(&format!("/conversations/{place}/draft"), draft)
            .await
            .ok(200);
        let settings = json!({"nickname": own, "pinned": true});
        who.patch(&format!("/conversations/{place}/settings"), settings)
            .await
            .ok(200);
    }
    who.put(
        &format!("/conversations/{chat}/hidden"),
        json!({"seqs": [2]}),
    )
    .await
    .ok(204);
    let mut mention = text("you");
    mention["content"]["mentions"] = json!([who.id]);
    ben.post_message(&mine, mention).await.ok(201);
    let mut later = json!({"conversation_id": chat, "send_at": tomorrow(), "kind": "text", "content": {"text": own}});
    let path = || format!("/me/scheduled/{}", id());
    who.put(&path(), later.clone()).await.ok(200);
    later["send_at"] = json!("2026-01-01T00:00:00Z");
    later["reply_to"] = json!(1_000_000);
    who.put(&path(), later).await.ok(200);
    scheduled::fire(&app.nodes[0].handles.delivery).await;
    // One without a direct conversation, and one with. These end no request, as `PUT /v1/me/blocks` would.
    for (blocker, blocked) in [(who, dan), (who, ben), (cat, who)] {
        let block = format!(
            "INSERT INTO blocks VALUES ('{}', '{}')",
            blocker.id, blocked.id
        );
        execute(&mut app.database(), &block);
    }
    let blocked = format!("UPDATE conversations SET blocked = true WHERE id = '{chat}'");
    execute(&mut app.database(), &blocked);
    [chat, mine, other, channel]
}

/// Every place of the database with this text, without the contents of messages.
fn places_with(conn: &mut PgConnection, text: &str) -> Vec<String> {
    #[derive(QueryableByName)]
    struct Place {
        #[diesel(sql_type = diesel::sql_types::Text)]
        place: String,
    }
    let columns = "SELECT quote_ident(table_name) || '.' || quote_ident(column_name) AS place
         FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
         WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name <> '__diesel_schema_migrations'
             AND (data_type IN ('text', 'json', 'jsonb', 'character varying', 'bytea') OR udt_name IN ('_text', '_json', '_jsonb'))";
    let columns: Vec<Place> = sql_query(columns).load(conn).unwrap();
    assert!(columns.len() > 25, "only {} columns", columns.len());
    let has = |Place { place }: Place| {
        let (table, column) = place.split_once('.').unwrap();
        let count =
            format!("SELECT count(*) AS n FROM {table} WHERE {column}::text ILIKE '%{text}%'");
        (number(conn, &count) > 0).then_some(place)
    };
    columns.into_iter().filter_map(has).collect()
}

/// Rows of tables that nobody but their user reads.
fn own_rows(conn: &mut PgConnection, who: &Person) -> Vec<(&'static str, i64)> {
    let tables = [
        ("drafts", "user_id"),
        ("conversation_settings", "user_id"),
        ("hidden_messages", "user_id"),
        ("scheduled", "user_id"),
        ("scheduled_failures", "user_id"),
        ("mentions", "user_id"),
        ("client_conversations", "creator_id"),
        ("blocks", "blocker_id"),
        ("contacts", "owner_id"),
        ("contacts", "contact_id"),
        ("contact_requests", "user_id"),
        ("contact_requests", "peer_id"),
    ];
    let count = |(table, column)| {
        let count = format!(
            "SELECT count(*) AS n FROM {table} WHERE {column} = '{}'",
            who.id
        );
        (table, number(conn, &count))
    };
    tables.into_iter().map(count).collect()
}

/// Asserts that nothing of a person is left but what SECURITY.md says.
fn is_erased(conn: &mut PgConnection, who: &Person) {
    assert_eq!(
        places_with(conn, &who.name),
        ["usernames.username"],
        "the name is reserved"
    );
    assert_eq!(places_with(conn, &format!("Display {}", who.name)), [""; 0]);
    let left: Vec<_> = own_rows(conn, who)
        .into_iter()
        .filter(|(_, n)| *n > 0)
        .collect();
    assert_eq!(left, []);
    let groups = format!(
        "SELECT count(*) AS n FROM members JOIN conversations ON id = conversation_id AND kind <> 'direct' WHERE user_id = '{}'",
        who.id
    );
    assert_eq!(number(conn, &groups), 0);
    let devices = format!(
        "SELECT count(*) AS n FROM devices WHERE user_id = '{}' AND (name IS NOT NULL OR platform <> 'other' OR revoked_at IS NULL)",
        who.id
    );
    assert_eq!(number(conn, &devices), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn erasure_leaves_a_tombstone() {
    let app = App::configured(due_immediately).await;
    let [who] = app.people(["zelda.q"]).await;
    let others = app.people(["ben", "cat", "dan", "eve"]).await;
    let [chat, mine, other, channel] = life(&app, &who, &others).await;
    let [ben, cat, dan, eve] = others;
    let mut conn = app.database();
    for text in [who.name.as_str(), "Display zelda.q", "canary-own"] {
        assert!(!places_with(&mut conn, text).is_empty(), "{text}");
    }
    let missing = own_rows(&mut conn, &who);
    assert!(missing.iter().all(|(_, n)| *n > 0), "{missing:?}");
    let heads = [cat.head().await, ben.head().await];
    let (at_eve, at_dan) = (eve.head().await, dan.head().await);
    let rev = ben.get(&format!("/users/{}", who.id)).await.ok(200)["rev"].clone();
    delete(&who, &proof()).await.ok(202);
    erase_due(&app).await;
    is_erased(&mut conn, &who);
    assert_eq!(places_with(&mut conn, "canary-own"), [""; 0]);

    // The tombstone, wherever it is shown.
    let tombstone = json!({"id": who.id, "username": format!("deleted-{}", &who.id[24..]), "display_name": "Deleted account", "deleted": true});
    let is_tombstone = |user: &Value| {
        for field in ["id", "username", "display_name", "deleted"] {
            assert_eq!(user[field], tombstone[field]);
        }
    };
    let shown = ben.get(&format!("/users/{}", who.id)).await.ok(200);
    is_tombstone(&shown);
    for field in ["avatar_url", "bio", "status"] {
        assert_eq!(shown[field], Value::Null, "{field}");
    }
    assert_eq!(shown["attributes"], json!({}));
    assert!(shown["rev"].as_i64() > rev.as_i64());
    is_tombstone(&ben.conversation(&chat).await.ok(200)["peer"]);
    let members = ben.get(&format!("/conversations/{chat}/members")).await;
    let members = members.ok(200)["members"].clone();
    let mut members = members.as_array().unwrap().iter();
    let member = members.find(|one| one["user"]["id"] == who.id.as_str());
    is_tombstone(&member.unwrap()["user"]);
    is_tombstone(&cat.get("/me/blocks").await.ok(200)["users"][0]);
    let history = ben.history(&chat, 0).await;
    assert_eq!(
        (&history[0]["sender_id"], &history[0]["content"]["text"]),
        (&json!(who.id), &json!("words"))
    );
    for name in [who.name.as_str(), tombstone["username"].as_str().unwrap()] {
        let found = ben.get(&format!("/users?username={name}")).await.ok(200);
        assert_eq!(found["users"], json!([]));
    }

    // The lists of others are without the person, and their devices learn of it.
    for (one, head) in [(&eve, at_eve), (&dan, at_dan)] {
        let path = format!("/me/contacts/{}", who.id);
        one.get(&path).await.problem(404, "not_found");
        let entries = one.entries(head).await;
        let gone = json!({"kind": "contact", "user_id": who.id, "contact": null});
        let is_expected = |entry: &&Value| {
            ["kind", "user_id", "contact"]
                .iter()
                .all(|name| entry[name] == gone[name])
        };
        assert_eq!(entries.iter().filter(is_expected).count(), 1, "{entries:?}");
    }
    for direction in ["in", "out"] {
        for one in [&ben, &cat, &dan] {
            let path = format!("/me/contact-requests?direction={direction}");
            let requests = one.get(&path).await.ok(200)["requests"].clone();
            assert_eq!(requests, json!([]));
        }
    }
    let ask = format!("/me/contact-requests/{}", who.id);
    eve.put(&ask, json!({})).await.problem(403, "not_accepted");
    let note = json!({"alias": "I know who this was"});
    eve.put(&format!("/me/contacts/{}", who.id), note)
        .await
        .problem(403, "not_accepted");
    let batch = json!({"contacts": [{"user_id": who.id, "alias": "It was"}]});
    let results = eve.post("/me/contacts/batch", batch).await.ok(200)["results"].clone();
    assert_eq!(results[0]["problem"]["code"], "not_accepted");

    // The groups go on, with a successor, and their members learn of it.
    assert_eq!(ben.roles(&mine).await[&cat.id], "owner");
    for group in [&mine, &other] {
        let roles = ben.roles(group).await;
        assert!(!roles.contains_key(&who.id), "{roles:?}");
    }
    assert_eq!(dan.roles(&channel).await.len(), 1);
    for (one, head) in [&cat, &ben].into_iter().zip(heads) {
        let entries = one.entries(head).await;
        let removed: Vec<_> = entries
            .iter()
            .filter(|entry| entry["removed"] == json!([who.id]))
            .collect();
        assert_eq!(removed.len(), 2, "{entries:?}");
    }

    // Nothing new, and what exists can be written to: the block has ended.
    ben.send(&chat, "into the void").await;
    cat.call("DELETE", &format!("/me/blocks/{}", who.id))
        .await
        .ok(204);
    cat.post(
        "/conversations",
        json!({"kind": "direct", "user_id": who.id}),
    )
    .await
    .problem(403, "not_accepted");
    ben.add(&other, &[&who]).await.problem(403, "not_accepted");
    login(&app, &who.name, PASSWORD)
        .await
        .problem(401, "invalid_credentials");
    let again = json!({"username": who.name, "password": PASSWORD});
    app.call("POST", "/v1/auth/register", Some(again.clone()))
        .await
        .problem(409, "conflict");
    // After 180 days the name is free, and the devices are gone.
    execute(
        &mut conn,
        "UPDATE usernames SET reserved_until = reserved_until - interval '181 days' WHERE user_id IS NULL;
         UPDATE devices SET revoked_at = now() - interval '26 hours' WHERE revoked_at IS NOT NULL;
         UPDATE users SET erase_at = now() WHERE erase_at IS NOT NULL",
    );
    erase_due(&app).await;
    assert_eq!(places_with(&mut conn, &who.name), [""; 0]);
    let left = format!(
        "SELECT (SELECT count(*) FROM devices WHERE user_id = '{}') + (SELECT count(*) FROM users WHERE erase_at IS NOT NULL) AS n",
        who.id
    );
    assert_eq!(number(&mut conn, &left), 0);
    app.call("POST", "/v1/auth/register", Some(again))
        .await
        .ok(201);
    app.finish().await;
}

/// A node that dies after each step, also in the midst of a repetition: the next round comes to the same end.
#[tokio::test(flavor = "multi_thread")]
async fn interrupted_erasure_comes_to_the_same_end() {
    let app = App::configured(due_immediately).await;
    let delivery = &app.nodes[0].handles.delivery;
    let others = app.people(["ben", "cat", "dan", "eve"]).await;
    let dan = &others[2];
    for last in 0..Step::ALL.len() {
        let name = format!("zelda.{last}");
        let [who] = app.people([name.as_str()]).await;
        life(&app, &who, &others).await;
        // No step does anything to an account that is in use.
        for step in Step::ALL {
            assert!(
                !account_erasure::take(delivery, user(&who), step)
                    .await
                    .unwrap()
            );
        }
        assert!(
            own_rows(&mut app.database(), &who)
                .iter()
                .all(|(_, n)| *n > 0)
        );
        delete(&who, &proof()).await.ok(202);
        for _ in 0..2 {
            for step in &Step::ALL[..=last] {
                assert!(
                    account_erasure::take(delivery, user(&who), *step)
                        .await
                        .unwrap()
                );
            }
        }
        // From the first step on there is no way back.
        login(&app, &name, PASSWORD)
            .await
            .problem(401, "invalid_credentials");
        erase_due(&app).await;
        is_erased(&mut app.database(), &who);
        let direct = json!({"kind": "direct", "user_id": who.id});
        dan.post("/conversations", direct)
            .await
            .problem(403, "not_accepted");
    }
    assert_eq!(places_with(&mut app.database(), "canary-own"), [""; 0]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_erase_the_same_accounts() {
    let mut app = App::configured(due_immediately).await;
    app.add_node().await;
    let others = app.people(["ben", "cat", "dan", "eve"]).await;
    let people = app.people(["zelda.1", "zelda.2", "zelda.3"]).await;
    for who in &people {
        life(&app, who, &others).await;
        delete(who, &proof()).await.ok(202);
    }
    let nodes = app.nodes.iter();
    join_all(nodes.map(|node| account_erasure::erase_due(&node.handles.delivery))).await;
    // One of two may have given up where the other one was faster.
    erase_due(&app).await;
    for who in &people {
        is_erased(&mut app.database(), who);
    }
    app.finish().await;
}

/// Of a login and the first step one comes first: the account is in use with all that it has, or it is a tombstone.
#[tokio::test(flavor = "multi_thread")]
async fn login_and_erasure_exclude_each_other() {
    let app = App::configured(due_immediately).await;
    let [ben] = app.people(["ben"]).await;
    let delivery = &app.nodes[0].handles.delivery;
    let mut back = 0;
    for round in 0..12 {
        let name = format!("zelda.{round}");
        let [who] = app.people([name.as_str()]).await;
        let group = ben.group(&[&who]).await;
        delete(&who, &proof()).await.ok(202);
        // A check of a password takes tens of milliseconds.
        let erase = async {
            tokio::time::sleep(Duration::from_millis(10 * round)).await;
            account_erasure::erase(delivery, user(&who)).await.unwrap();
        };
        let (answer, ()) = tokio::join!(login(&app, &name, PASSWORD), erase);
        if answer.status == 200 {
            back += 1;
            let session = answer.ok(200);
            assert_eq!(session["user"]["username"], name);
            let who = Person::of_session(&app, &session);
            who.send(&group, "still here").await;
        } else {
            answer.problem(401, "invalid_credentials");
            is_erased(&mut app.database(), &who);
        }
    }
    assert!(back < 12, "no erasure came first");
    app.finish().await;
}

/// An addition that has looked at the account comes before its erasure, which then leaves the group.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_adds_a_tombstone_to_a_group() {
    let (app, [ben, cat]) = App::with(["ben", "cat"]).await;
    for round in 0..12 {
        let name = format!("zelda.{round}");
        let [who] = app.people([name.as_str()]).await;
        let group = ben.group(&[&cat]).await;
        let due = format!(
            "UPDATE users SET state = 'deactivated', deactivated_by = 'self', erase_at = now() WHERE id = '{}'",
            who.id
        );
        let end = async {
            tokio::time::sleep(Duration::from_millis(round)).await;
            execute(&mut app.database(), &due);
            erase_due(&app).await;
        };
        let new = [&who];
        let (added, ()) = tokio::join!(ben.add(&group, &new), end);
        assert!([200, 403].contains(&added.status), "{}", added.body);
        let roles = ben.roles(&group).await;
        assert!(!roles.contains_key(&who.id), "{roles:?}");
    }
    app.finish().await;
}
