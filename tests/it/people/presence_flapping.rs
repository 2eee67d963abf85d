//! How often others see a change of somebody who changes all the time.

use crate::support::online::{SHOWN, TIMINGS, presence, shows, start, stay, two_nodes};
use crate::support::{App, PASSWORD, Person, eventually};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How long it is counted.
const TIME: Duration = Duration::from_secs(5);

/// Probes with heartbeats, many times a second, with each query in turn.
fn poll(devices: &[&Person], queries: &'static [&'static str]) -> JoinHandle<()> {
    let devices: Vec<_> = devices.iter().map(|one| (*one).clone()).collect();
    tokio::spawn(async move {
        for (device, query) in devices.iter().cycle().zip(queries.iter().cycle()) {
            let path = format!("/notices?since_seq=0&timeout=5{query}");
            let wait = device.try_call("GET", &path, None);
            let _superseded = tokio::time::timeout(Duration::from_millis(50), wait).await;
        }
    })
}

/// Counts the changes that others see. Each pause ends with whatever state there is, so all of them may show the same one: the first
/// change is waited for.
async fn changes(viewer: &Person, person: &Person) -> usize {
    let mut states = Vec::new();
    let began = Instant::now();
    while began.elapsed() < TIME || states.len() == 1 {
        assert!(began.elapsed() < 6 * TIME, "no change");
        let state = presence(viewer, person).await["state"].clone();
        if states.last() != Some(&state) {
            states.push(state);
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    states.len() - 1
}

fn most() -> usize {
    usize::try_from(TIME.as_secs() / TIMINGS.pause.as_secs()).unwrap() + 1
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_show_one_change_a_pause() {
    let (app, _redis, second) = two_nodes().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let toggling = poll(
        &[&ann, &ann.at(&second)],
        &["&activity=active", "&activity=idle"],
    );
    shows(&ben.at(&second), &ann, "online").await;
    let count = changes(&ben.at(&second), &ann).await;
    assert!((1..=most()).contains(&count), "{count}");
    toggling.abort();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_the_profile_do_not_show_the_activity() {
    let app = start().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let toggling = poll(&[&ann], &["&activity=active", "&activity=idle"]);
    shows(&ben, &ann, "online").await;
    let editor = ann.clone();
    let editing = tokio::spawn(async move {
        for number in 0.. {
            let bio = json!({"bio": format!("{number}")});
            editor.patch("/me", bio).await.ok(200);
            tokio::time::sleep(Duration::from_millis(120)).await;
        }
    });
    let count = changes(&ben, &ann).await;
    assert!((1..=most()).contains(&count), "{count}");
    editing.abort();
    toggling.abort();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bot_shows_one_change_a_pause() {
    let app = start().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let body = json!({"username": "ann", "password": PASSWORD, "device": {"platform": "bot"}});
    let session = app.call("POST", "/v1/auth/login", Some(body)).await.ok(200);
    let bot = Person::of_session(&app, &session);
    let toggling = poll(&[&bot], &["&activity=active", ""]);
    shows(&ben, &ann, "online").await;
    let count = changes(&ben, &ann).await;
    assert!((1..=most()).contains(&count), "{count}");
    toggling.abort();
    app.finish().await;
}

/// What decides who sees somebody, the profile and the wish to be invisible do not wait for the pause.
#[tokio::test(flavor = "multi_thread")]
async fn some_changes_do_not_wait() {
    let app = App::configured(|config| {
        config.presence_timings = TIMINGS;
        config.presence_timings.pause = Duration::from_secs(60);
    })
    .await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let waits = stay(&ann, "&activity=active");
    shows(&ben, &ann, "online").await;
    ann.patch("/me", json!({"bio": "new"})).await.ok(200);
    let rev = async || presence(&ben, &ann).await["rev"].clone();
    eventually("the new rev", SHOWN, rev, |rev| *rev == 2).await;
    ann.put("/me/status", json!({"availability": "invisible"}))
        .await
        .ok(200);
    shows(&ben, &ann, "offline").await;
    waits.abort();
    app.finish().await;
}
