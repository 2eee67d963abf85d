//! When people were last online.

use crate::support::online::{SHOWN, TIMINGS, presence, presences, shows, start, stay, two_nodes};
use crate::support::{App, Person, eventually, execute, id, number};
use serde_json::{Value, json};
use std::collections::HashMap;
use tideline::engine::presence::mine::OwnDevices;
use tideline::engine::presence::replica::Replica;
use tideline::model::ids::UserId;

async fn share(person: &Person) {
    let change = json!({"last_seen": "everyone"});
    person.patch("/me/privacy", change).await.ok(200);
}

/// The rows of a person, which is 0 or 1.
fn stored(app: &App, person: &Person) -> i64 {
    let sql = format!(
        "SELECT count(*) AS n FROM last_seen WHERE user_id = '{}'",
        person.id
    );
    number(&mut app.database(), &sql)
}

/// Returns when the end of a person's presence is stored.
async fn is_stored(app: &App, person: &Person) {
    eventually(
        "it is stored",
        SHOWN,
        async || stored(app, person),
        |n| *n == 1,
    )
    .await;
}

/// Moves what is stored of a person into the past.
fn age(app: &App, person: &Person) {
    let sql = format!(
        "UPDATE last_seen SET at = '2026-01-02T03:04:05.678Z' WHERE user_id = '{}'",
        person.id
    );
    execute(&mut app.database(), &sql);
}

const AGED: &str = "2026-01-02T03:04:00.000Z";

async fn last_seen(viewer: &Person, person: &Person) -> Value {
    presence(viewer, person).await["last_seen_at"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn end_of_presence_is_stored_and_shown_to_the_audience() {
    let app = start().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let waits = stay(&ann, "");
    shows(&ben, &ann, "online").await;
    assert_eq!(stored(&app, &ann), 0);
    waits.abort();
    shows(&ben, &ann, "offline").await;
    is_stored(&app, &ann).await;
    age(&app, &ann);
    // Each must show it to the other; by default contacts are the audience.
    assert_eq!(last_seen(&ben, &ann).await, Value::Null);
    share(&ann).await;
    assert_eq!(last_seen(&ben, &ann).await, Value::Null);
    ben.put(&format!("/me/contacts/{}", ann.id), json!({}))
        .await
        .ok(200);
    assert_eq!(last_seen(&ben, &ann).await, AGED);
    share(&ben).await;
    assert_eq!(last_seen(&ben, &ann).await, AGED);
    assert_eq!(last_seen(&ann, &ann).await, AGED);
    // Without the presence it is hidden, too: like that of nobody.
    ann.patch("/me/privacy", json!({"presence": "nobody"}))
        .await
        .ok(200);
    let random = id();
    let both = presences(&ben, &[&ann.id, &random]).await;
    assert_eq!(
        both[0].to_string().replace(&ann.id, &random),
        both[1].to_string()
    );
    ann.patch("/me/privacy", json!({"presence": null}))
        .await
        .ok(200);
    // Not of somebody who is online.
    let waits = stay(&ann, "");
    shows(&ben, &ann, "online").await;
    assert_eq!(last_seen(&ben, &ann).await, Value::Null);
    // The time at which a person becomes invisible stays.
    ann.put("/me/status", json!({"availability": "invisible"}))
        .await
        .ok(200);
    shows(&ben, &ann, "offline").await;
    let is_new = async || last_seen(&ben, &ann).await;
    eventually("it moves", SHOWN, is_new, |at| *at != AGED).await;
    age(&app, &ann);
    waits.abort();
    shows(&ann, &ann, "offline").await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    // With a busy Redis the state may be unknown for a moment.
    let shown = async || last_seen(&ben, &ann).await;
    let at = eventually("it is shown", SHOWN, shown, |at| !at.is_null()).await;
    assert_eq!(at, AGED);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn living_node_stores_it_for_a_dead_one() {
    let (app, redis, second) = two_nodes().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let waits = stay(&ann.at(&second), "");
    shows(&ben, &ann, "online").await;
    // It runs on, without Redis: for the other one it is dead, and its person does not leave here.
    redis.cut();
    is_stored(&app, &ann).await;
    shows(&ben, &ann, "offline").await;
    waits.abort();
    app.finish().await;
}

/// The time at which a person became invisible stays, also when the node dies.
#[tokio::test(flavor = "multi_thread")]
async fn invisible_person_of_a_dead_node_keeps_the_time() {
    let (app, redis, second) = two_nodes().await;
    let [ann, ben, cat] = app.people(["ann", "ben", "cat"]).await;
    let waits = [stay(&ann.at(&second), ""), stay(&cat.at(&second), "")];
    for person in [&ann, &cat] {
        shows(&ben, person, "online").await;
    }
    ann.put("/me/status", json!({"availability": "invisible"}))
        .await
        .ok(200);
    is_stored(&app, &ann).await;
    age(&app, &ann);
    redis.cut();
    is_stored(&app, &cat).await;
    assert_eq!(last_seen(&ann, &ann).await, AGED);
    waits.into_iter().for_each(|one| one.abort());
    app.finish().await;
}

/// The time is that at which the person left, also when it could not be stored then.
#[test]
fn failed_storing_keeps_the_time() {
    let (devices, replica) = (OwnDevices::default(), Replica::default());
    let ann = UserId(uuid::Uuid::from_u128(1));
    devices.keep_seen([(ann, 7)]);
    devices.keep_seen([(ann, 5)]);
    let seen = devices.take_seen(100, &TIMINGS, &replica);
    assert_eq!(seen, HashMap::from([(ann, 7)]));
    assert!(devices.take_seen(100, &TIMINGS, &replica).is_empty());
}

/// The time goes with the account.
#[tokio::test(flavor = "multi_thread")]
async fn erased_account_leaves_no_time() {
    let app = App::configured(|config| {
        config.presence_timings = crate::support::online::TIMINGS;
        config.erase_days = 0;
    })
    .await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let waits = stay(&ann, "");
    shows(&ben, &ann, "online").await;
    waits.abort();
    shows(&ben, &ann, "offline").await;
    is_stored(&app, &ann).await;
    let password = json!({"password": crate::support::PASSWORD});
    ann.try_call("DELETE", "/me", Some(&password))
        .await
        .unwrap()
        .ok(202);
    tideline::domain::operations::account_erasure::erase_due(&app.nodes[0].handles.delivery).await;
    let rows = async || stored(&app, &ann);
    eventually("it is gone", SHOWN, rows, |n| *n == 0).await;
    assert_eq!(presence(&ben, &ann).await["state"], "unknown");
    app.finish().await;
}
