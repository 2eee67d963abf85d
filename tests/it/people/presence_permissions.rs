//! Permissions of cursors that end, or begin, while a message is lost or somebody does not wait.

use crate::people::presence_rides::Follower;
use crate::support::online::{TIMINGS, another_node, presence, shows, start, stay, two_nodes};
use crate::support::{App, PASSWORD, Person};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The states that a follower is shown within some time.
async fn shown(follower: &mut Follower, person: &Person, time: Duration) -> Vec<Value> {
    let began = Instant::now();
    let mut states = Vec::new();
    while began.elapsed() < time {
        if follower.wait(0, "").await > 0 {
            states.push(follower.shown[&person.id]["state"].clone());
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    states
}

async fn hide(person: &Person, audience: &str) {
    let change = json!({"presence": audience});
    person.patch("/me/privacy", change).await.ok(200);
}

/// Ann does not wait: no sweep finds a new entry of hers.
#[tokio::test(flavor = "multi_thread")]
async fn block_during_an_outage_is_in_force_after_it() {
    let mut app = App::configured(|config| {
        config.presence_timings = TIMINGS;
        config.presence_timings.linger = Duration::from_secs(60);
    })
    .await;
    let (redis, second) = another_node(&mut app).await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let waits = stay(&ben, "");
    shows(&ben, &ben, "online").await;
    ann.wait(0, 1).await;
    shows(&ben, &ann, "online").await;
    let mut follower = Follower::of(&ben, &[&ann]).await;
    redis.cut();
    ann.at(&second).block(&ben).await.ok(204);
    tokio::time::sleep(Duration::from_secs(1)).await;
    redis.heal();
    follower.sees(&ann, "unknown").await;
    waits.abort();
    app.finish().await;
}

/// The node that has made the block cannot tell anybody.
#[tokio::test(flavor = "multi_thread")]
async fn sweep_finds_a_block_of_a_node_that_is_cut_off() {
    let (app, redis, second) = two_nodes().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let waits = stay(&ben, "");
    shows(&ben, &ben, "online").await;
    let waiting = ann.clone();
    let waiting = tokio::spawn(async move { waiting.wait(0, 30).await });
    shows(&ben, &ann, "online").await;
    let mut follower = Follower::of(&ben, &[&ann]).await;
    redis.cut();
    ann.at(&second).block(&ben).await.ok(204);
    assert_eq!(waiting.await.unwrap()["news"], true);
    follower.sees(&ann, "unknown").await;
    waits.abort();
    app.finish().await;
}

/// Who has not waited on any node, or no longer does, is bound by the own settings all the same.
#[tokio::test(flavor = "multi_thread")]
async fn viewer_who_does_not_wait_hides_and_does_not_see() {
    let app = start().await;
    let [ann, ben, cat] = app.people(["ann", "ben", "cat"]).await;
    let waits = stay(&ann, "");
    shows(&cat, &ann, "online").await;
    for has_waited in [false, true] {
        hide(&ben, "everyone").await;
        let mut follower = Follower::of(&ben, &[&ann]).await;
        if has_waited {
            ben.wait(ben.head().await, 1).await;
            shows(&cat, &ben, "online").await;
            assert_eq!(follower.wait(0, "").await, 0);
            shows(&cat, &ben, "offline").await;
        }
        hide(&ben, "nobody").await;
        for (chosen, state) in [("busy", "busy"), ("auto", "online")] {
            let status = json!({"availability": chosen});
            ann.put("/me/status", status).await.ok(200);
            shows(&cat, &ann, state).await;
            follower.wait(0, "").await;
            assert_eq!(follower.shown[&ann.id]["state"], "unknown");
        }
        // And sees again.
        hide(&ben, "everyone").await;
        follower.sees(&ann, "online").await;
    }
    waits.abort();
    app.finish().await;
}

/// In one tick: the number that the copies have of the person is not the last one.
#[tokio::test(flavor = "multi_thread")]
async fn block_before_a_logout_is_in_force() {
    let app = App::configured(|config| {
        config.presence_timings = TIMINGS;
        config.presence_timings.tick = Duration::from_millis(500);
    })
    .await;
    let [ben] = app.people(["ben"]).await;
    let waits = stay(&ben, "");
    for name in ["one", "two", "three"] {
        let ann = Person::register(&app.http, &app.url(), name).await;
        let phone = ann.another_device(&app).await;
        let staying = stay(&ann, "");
        shows(&ben, &ann, "online").await;
        shows(&ben, &ben, "online").await;
        let mut follower = Follower::of(&ben, &[&ann]).await;
        phone.block(&ben).await.ok(204);
        let path = format!("/me/devices/{}", ann.device);
        phone.call("DELETE", &path).await.ok(204);
        staying.abort();
        let states = shown(&mut follower, &ann, Duration::from_secs(2)).await;
        assert_eq!(states, ["unknown"]);
    }
    waits.abort();
    app.finish().await;
}

/// Those who follow somebody who is offline learn of a block, also those who have seen the person online, on each node.
#[tokio::test(flavor = "multi_thread")]
async fn block_by_somebody_offline_is_in_force() {
    let (app, _redis, second) = two_nodes().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let waits = stay(&ben, "");
    shows(&ben.at(&second), &ben, "online").await;
    let phone = ann.another_device(&app).await.at(&second);
    let staying = stay(&ann, "");
    shows(&ben, &ann, "online").await;
    let mut early = Follower::of(&ben, &[&ann]).await;
    staying.abort();
    ann.call("DELETE", &format!("/me/devices/{}", ann.device))
        .await
        .ok(204);
    for viewer in [&ben, &ben.at(&second)] {
        shows(viewer, &ann, "offline").await;
    }
    let mut late = Follower::of(&ben, &[&ann]).await;
    phone.block(&ben).await.ok(204);
    late.sees(&ann, "unknown").await;
    assert_eq!(early.wait(0, "").await, 1);
    assert_eq!(early.shown[&ann.id]["state"], "unknown");
    phone
        .call("DELETE", &format!("/me/blocks/{}", ben.id))
        .await
        .ok(204);
    late.sees(&ann, "offline").await;
    waits.abort();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deactivated_person_is_unknown_until_the_return() {
    let app = start().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let waits = stay(&ben, "");
    shows(&ben, &ben, "online").await;
    let staying = stay(&ann, "");
    shows(&ben, &ann, "online").await;
    let mut follower = Follower::of(&ben, &[&ann]).await;
    let proof = json!({"password": PASSWORD});
    ann.post("/me/deactivate", proof.clone()).await.ok(204);
    staying.abort();
    let states = shown(&mut follower, &ann, Duration::from_secs(2)).await;
    assert_eq!(states, ["unknown"]);
    assert_eq!(presence(&ben, &ann).await["state"], "unknown");
    let mut late = Follower::of(&ben, &[&ann]).await;
    let back = ann.another_device(&app).await;
    let staying = stay(&back, "");
    follower.sees(&ann, "online").await;
    late.sees(&ann, "online").await;
    staying.abort();
    waits.abort();
    app.finish().await;
}
