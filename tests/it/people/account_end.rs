//! The end of an account: deactivation, deletion, and what an erasure leaves.

use crate::support::{Answer, App, PASSWORD, Person, execute, id, number, text, tomorrow};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;
use tideline::config::{Config, RateLimit};
use tideline::domain::messaging::scheduled;
use tideline::domain::operations::account_erasure::{self, Step};
use tideline::model::ids::UserId;
use tideline::model::time::Timestamp;

fn proof() -> Value {
    json!({"password": PASSWORD})
}

async fn deactivate(person: &Person, proof: Value) -> Answer {
    person.post("/me/deactivate", proof).await
}

async fn delete(person: &Person, proof: &Value) -> Answer {
    person.try_call("DELETE", "/me", Some(proof)).await.unwrap()
}

async fn login(app: &App, name: &str, password: &str) -> Answer {
    let body = json!({"username": name, "password": password});
    app.call("POST", "/v1/auth/login", Some(body)).await
}

async fn refresh(app: &App, person: &Person) -> Answer {
    let body = json!({"refresh_token": person.refresh_token});
    app.call("POST", "/v1/auth/refresh", Some(body)).await
}

fn user(person: &Person) -> UserId {
    UserId(person.id.parse().unwrap())
}

/// A deleted account is erased in the next round.
fn at_once(config: &mut Config) {
    config.erase_days = 0;
}

/// Erases what is due, on the first node.
async fn erase_due(app: &App) {
    account_erasure::erase_due(&app.nodes[0].handles.delivery).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deactivation_logs_all_devices_out_until_the_next_login() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let phone = ann.another_device(&app).await;
    for wrong in [
        json!({"password": "wrong horse"}),
        json!({"password": null}),
        json!({}),
    ] {
        deactivate(&ann, wrong.clone())
            .await
            .problem(401, "invalid_credentials");
        delete(&ann, &wrong)
            .await
            .problem(401, "invalid_credentials");
    }
    let waiting = {
        let phone = phone.clone();
        tokio::spawn(async move { phone.get("/notices?since_seq=0&timeout=30").await })
    };
    app.asleep(0, 1).await;
    deactivate(&ann, proof()).await.ok(204);
    let ended = tokio::time::timeout(Duration::from_secs(5), waiting).await;
    ended.unwrap().unwrap().problem(401, "device_revoked");
    for device in [&ann, &phone] {
        device.get("/me").await.problem(401, "device_revoked");
        refresh(&app, device).await.problem(401, "device_revoked");
    }
    // Others see the account as before.
    let seen = ben.get(&format!("/users/{}", ann.id)).await.ok(200);
    assert_eq!(
        (&seen["username"], &seen["deleted"]),
        (&json!("ann"), &json!(false))
    );
    let found = ben.get("/users?username=ann").await.ok(200);
    assert_eq!(found["users"][0]["id"], seen["id"]);
    // A failed login does not bring it back.
    login(&app, "ann", "wrong horse")
        .await
        .problem(401, "invalid_credentials");
    ben.post(
        "/conversations",
        json!({"kind": "direct", "user_id": ann.id}),
    )
    .await
    .problem(403, "not_accepted");
    let back = login(&app, "ann", PASSWORD).await.ok(200);
    let back = Person::of_session(&app, &back);
    assert_eq!((&back.id, back.direct(&ben).await.len()), (&ann.id, 36));
    ann.get("/me").await.problem(401, "device_revoked");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deactivation_reaches_all_nodes_within_5_s() {
    let (mut app, [ann]) = App::with(["ann"]).await;
    app.add_node().await;
    let there = ann.at(&format!("http://{}", app.nodes[1].address));
    there.get("/me").await.ok(200);
    deactivate(&ann, proof()).await.ok(204);
    let asked = async || there.get("/me").await.status;
    let within = Duration::from_secs(5);
    crate::support::eventually("logged out", within, asked, |status| *status == 401).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deactivated_account_accepts_nothing_new() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let chat = ann.direct(&ben).await;
    let group = ben.group(&[&cat]).await;
    deactivate(&ann, proof()).await.ok(204);
    let head = number(&mut app.database(), "SELECT count(*) AS n FROM inbox");

    cat.post(
        "/conversations",
        json!({"kind": "direct", "user_id": ann.id}),
    )
    .await
    .problem(403, "not_accepted");
    cat.put(&format!("/me/contact-requests/{}", ann.id), json!({}))
        .await
        .problem(403, "not_accepted");
    ben.add(&group, &[&ann]).await.problem(403, "not_accepted");
    let [dan] = app.people(["dan"]).await;
    let added = ben.add(&group, &[&ann, &cat, &dan]).await.ok(200);
    let expected = json!({"added": [dan.id], "already_members": [cat.id], "refused": [ann.id]});
    assert_eq!(added, expected);
    for kind in ["group", "channel"] {
        let make = |people: &[&Person], own: &str| {
            let ids: Vec<_> = people.iter().map(|one| one.id.as_str()).collect();
            json!({"kind": kind, "title": "x", "member_ids": ids, "client_conversation_id": own})
        };
        let own = id();
        ben.post("/conversations", make(&[&ann], &own))
            .await
            .problem(403, "not_accepted");
        let made = ben.post("/conversations", make(&[&ann, &cat], &own)).await;
        let made = made.ok(201);
        assert_eq!(
            (&made["refused"], &made["member_count"]),
            (&json!([ann.id]), &json!(2))
        );
        // A replay has the same answer, also when the account is back.
        let replay = ben.post("/conversations", make(&[&ann, &cat], &own)).await;
        assert_eq!(replay.ok(200), made);
    }
    let entries = format!(
        "SELECT count(*) AS n FROM inbox WHERE receiver_id = '{}'",
        ann.id
    );
    assert!(head > 0 && number(&mut app.database(), &entries) == 1);
    // What exists goes on.
    assert_eq!(ben.direct(&ann).await, chat);
    ben.send(&chat, "for later").await;
    let back = login(&app, "ann", PASSWORD).await.ok(200);
    let back = Person::of_session(&app, &back);
    assert_eq!(back.history(&chat, 0).await.len(), 1);
    ben.add(&group, &[&ann]).await.ok(200);
    cat.direct(&ann).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn login_does_not_end_a_deactivation_by_the_operator() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    for one in [&ann, &ben] {
        delete(one, &proof()).await.ok(202);
    }
    let by_operator = format!(
        "UPDATE users SET deactivated_by = 'operator' WHERE id = '{}'",
        ann.id
    );
    execute(&mut app.database(), &by_operator);
    for _ in 0..2 {
        login(&app, "ann", PASSWORD)
            .await
            .problem(401, "user_deactivated");
        login(&app, "ann", "wrong horse")
            .await
            .problem(401, "invalid_credentials");
    }
    let left =
        "SELECT count(*) AS n FROM users WHERE state = 'deactivated' AND erase_at IS NOT NULL";
    assert_eq!(number(&mut app.database(), left), 2);
    login(&app, "ben", PASSWORD).await.ok(200);
    assert_eq!(number(&mut app.database(), left), 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn account_without_a_password_ends_with_a_new_session() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let mut conn = app.database();
    let older = format!(
        "UPDATE users SET password_hash = '!';
         UPDATE devices SET created_at = now() - interval '11 minutes' WHERE id = '{}'",
        ann.device
    );
    execute(&mut conn, &older);
    for proof in [json!({}), json!({"password": "!"}), proof()] {
        deactivate(&ann, proof)
            .await
            .problem(401, "invalid_credentials");
    }
    deactivate(&ben, json!({})).await.ok(204);
    ben.get("/me").await.problem(401, "device_revoked");
    let newer =
        "UPDATE devices SET created_at = now() - interval '9 minutes' WHERE revoked_at IS NULL";
    execute(&mut conn, newer);
    delete(&ann, &json!({})).await.ok(202);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_of_the_password_are_limited_as_logins_are() {
    let app = App::configured(|config| {
        let (per_second, burst) = (1_000, 10_000);
        config.rate_limit = Some(RateLimit { per_second, burst });
    })
    .await;
    let [ann] = app.people(["ann"]).await;
    let mut refused = 0;
    for n in 0..16 {
        let guess = json!({"password": format!("guess {n}")});
        let answer = match n % 2 {
            0 => deactivate(&ann, guess).await,
            _ => delete(&ann, &guess).await,
        };
        refused += u32::from(answer.status == 429);
    }
    assert!((3..=6).contains(&refused), "{refused}");
    ann.get("/me").await.ok(200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn login_before_the_erasure_calls_it_off() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let chat = ann.direct(&ben).await;
    let asked = tideline::clock::unix_seconds();
    let answer = delete(&ann, &proof()).await.ok(202);
    let erase_at: Timestamp = serde_json::from_value(answer["erase_at"].clone()).unwrap();
    let days = (erase_at.0.timestamp() - asked) as f64 / 86_400.0;
    assert!((13.99..14.01).contains(&days), "{days}");
    ann.get("/me").await.problem(401, "device_revoked");
    erase_due(&app).await;
    let back = login(&app, "ann", PASSWORD).await.ok(200);
    let back = Person::of_session(&app, &back);
    let times = "SELECT count(*) AS n FROM users WHERE erase_at IS NOT NULL OR state <> 'active'";
    assert_eq!(number(&mut app.database(), times), 0);
    back.send(&chat, "still here").await;

    // A second deletion has a time of its own, which has come.
    delete(&back, &proof()).await.ok(202);
    execute(
        &mut app.database(),
        "UPDATE users SET erase_at = now() - interval '1 second' WHERE erase_at IS NOT NULL",
    );
    erase_due(&app).await;
    login(&app, "ann", PASSWORD)
        .await
        .problem(401, "invalid_credentials");
    app.finish().await;
}

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
    let chat = who.direct(ben).await;
    who.send(&chat, "words").await;
    ben.send(&chat, "answer").await;
    let mine = json!({"kind": "group", "title": "Mine", "member_ids": [ben.id, cat.id], "client_conversation_id": id()});
    let mine = who.post("/conversations", mine).await.ok(201)["id"].clone();
    let mine = mine.as_str().unwrap().to_owned();
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
    let app = App::configured(at_once).await;
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
    let app = App::configured(at_once).await;
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
    let mut app = App::configured(at_once).await;
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
    let app = App::configured(at_once).await;
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

/// Who is away for good does not get a group, and nothing is sent in the name of an account that is not in use.
#[tokio::test(flavor = "multi_thread")]
async fn account_that_is_not_in_use_gets_no_group_and_sends_nothing() {
    let (app, [ann, ben, cat]) = App::with(["ann", "ben", "cat"]).await;
    let group = ann.group(&[&ben, &cat]).await;
    ann.change(&group, &ben, json!({"role": "admin"}))
        .await
        .ok(200);
    let soon = json!({"conversation_id": group, "send_at": tomorrow(), "kind": "text", "content": {"text": "later"}});
    ben.put(&format!("/me/scheduled/{}", id()), soon)
        .await
        .ok(200);
    ben.post("/me/deactivate", json!({"password": PASSWORD}))
        .await
        .ok(204);
    execute(&mut app.database(), "UPDATE scheduled SET send_at = now()");
    let before = cat.history(&group, 0).await.len();
    scheduled::fire(&app.nodes[0].handles.delivery).await;
    assert_eq!(cat.history(&group, 0).await.len(), before);
    ann.remove(&group, &ann).await.ok(204);
    assert_eq!(cat.roles(&group).await[&cat.id], "owner");
    let back = ben.another_device(&app).await;
    let failed = back.entries(0).await.into_iter();
    let mut failed = failed.filter(|entry| entry["kind"] == "scheduled_failed");
    assert_eq!(failed.next().unwrap()["problem"]["code"], "forbidden");
    app.finish().await;
}
