//! The end of an account: deactivation and deletion.

use crate::support::{Answer, App, PASSWORD, Person, execute, id, number, tomorrow};
use serde_json::{Value, json};
use std::time::Duration;
use tideline::config::{Config, RateLimit};
use tideline::domain::messaging::scheduled;
use tideline::domain::operations::account_erasure;
use tideline::model::ids::UserId;
use tideline::model::time::Timestamp;

pub fn proof() -> Value {
    json!({"password": PASSWORD})
}

async fn deactivate(person: &Person, proof: Value) -> Answer {
    person.post("/me/deactivate", proof).await
}

pub async fn delete(person: &Person, proof: &Value) -> Answer {
    person.try_call("DELETE", "/me", Some(proof)).await.unwrap()
}

pub async fn login(app: &App, name: &str, password: &str) -> Answer {
    let body = json!({"username": name, "password": password});
    app.call("POST", "/v1/auth/login", Some(body)).await
}

async fn refresh(app: &App, person: &Person) -> Answer {
    let body = json!({"refresh_token": person.refresh_token});
    app.call("POST", "/v1/auth/refresh", Some(body)).await
}

pub fn user(person: &Person) -> UserId {
    UserId(person.id.parse().unwrap())
}

/// A deleted account is erased in the next round.
pub fn due_immediately(config: &mut Config) {
    config.erase_days = 0;
}

/// Erases what is due, on the first node.
pub async fn erase_due(app: &App) {
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
    ann.put(&format!("/me/contact-requests/{}", ben.id), json!({}))
        .await
        .ok(201);
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
    // Nor by what it has asked before.
    let own = format!("/me/contact-requests/{}", ann.id);
    ben.put(&own, json!({})).await.problem(403, "not_accepted");
    ben.post(&format!("{own}/accept"), json!({}))
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
    assert!(head > 0 && number(&mut app.database(), &entries) == 2);
    // What exists goes on.
    assert_eq!(ben.direct(&ann).await, chat);
    ben.send(&chat, "for later").await;
    let back = login(&app, "ann", PASSWORD).await.ok(200);
    let back = Person::of_session(&app, &back);
    assert_eq!(back.history(&chat, 0).await.len(), 1);
    ben.add(&group, &[&ann]).await.ok(200);
    ben.post(&format!("{own}/accept"), json!({})).await.ok(200);
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
