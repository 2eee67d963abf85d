//! People who are online, with times that are short enough for a test.

use crate::support::{Answer, App, Person, eventually};

use serde_json::{Value, json};
use std::time::Duration;
use tideline::config::presence::PresenceTimings;
use tokio::task::JoinHandle;

/// The times of presence in the tests, in the proportions of the real ones.
pub const TIMINGS: PresenceTimings = PresenceTimings {
    linger: Duration::from_secs(2),
    tick: Duration::from_millis(50),
    beat: Duration::from_millis(200),
    still_beats: 10,
    silent_beats: 3,
    pause: Duration::from_secs(1),
    wake_after: Duration::from_secs(1),
    wake_spread: Duration::from_millis(300),
    last_seen: Duration::from_millis(200),
    last_seen_again: Duration::from_secs(3_600),
    reload: Duration::from_secs(300),
    expiry: Duration::from_secs(60),
};

/// How long a change may take to be shown, with a busy machine.
pub const SHOWN: Duration = Duration::from_secs(8);

/// A deployment of one node with short times.
pub async fn start() -> App {
    App::configured(|config| config.presence_timings = TIMINGS).await
}

/// The same with two nodes, of which the second has a proxy of its own before Redis, and its URL.
pub async fn two_nodes() -> (App, crate::support::Proxy, String) {
    let mut app = start().await;
    let (proxy, url) = another_node(&mut app).await;
    (app, proxy, url)
}

/// Starts one more node, behind a proxy of its own.
pub async fn another_node(app: &mut App) -> (crate::support::Proxy, String) {
    let proxy = crate::support::Proxy::before(&crate::support::services().redis_url());
    let mut config = app.config.clone();
    config.redis_url = tideline::config::Secret(proxy.url().to_owned());
    app.add_node_with(config).await;
    let node = app.nodes.last().unwrap();
    let url = format!("http://{}", node.address);
    (proxy, url)
}

/// A person who waits again and again on a node, until the task is aborted.
pub fn stay(person: &Person, query: &'static str) -> JoinHandle<()> {
    let person = person.clone();
    tokio::spawn(async move {
        loop {
            let since = person.head().await;
            let path = format!("/notices?since_seq={since}&timeout=5{query}");
            let _answer = person.try_call("GET", &path, None).await;
        }
    })
}

/// The presence of people, as one of them sees it.
pub async fn presences(viewer: &Person, people: &[&str]) -> Value {
    let path = format!("/presence?ids={}", people.join(","));
    viewer.get(&path).await.ok(200)["presences"].clone()
}

/// The presence of a person.
pub async fn presence(viewer: &Person, person: &Person) -> Value {
    presences(viewer, &[&person.id]).await[0].clone()
}

/// Returns when a person is shown in this state.
pub async fn shows(viewer: &Person, person: &Person, state: &str) -> Value {
    let get = async || presence(viewer, person).await;
    let what = format!("{} sees {} {state}", viewer.name, person.name);
    eventually(&what, SHOWN, get, |one| one["state"] == state).await
}

/// Fails if a person is shown in another state within this time.
pub async fn keeps(viewer: &Person, person: &Person, state: &str, time: Duration) {
    let began = std::time::Instant::now();
    while began.elapsed() < time {
        let one = presence(viewer, person).await;
        let after = began.elapsed();
        assert_eq!(one["state"], state, "{} after {after:?}", person.name);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// The people that somebody follows, and the cursor.
pub async fn follow(viewer: &Person, people: &[&Person]) -> (Value, String) {
    let ids: Vec<_> = people.iter().map(|one| one.id.as_str()).collect();
    let answer = viewer
        .post("/presence/cursors", json!({"user_ids": ids}))
        .await
        .ok(200);
    let cursor = answer["cursor"].as_str().unwrap().to_owned();
    (answer["presences"].clone(), cursor)
}

/// A wait with a cursor of presence.
pub async fn wait(viewer: &Person, cursor: &str, timeout: u64, more: &str) -> Answer {
    let since = viewer.head().await;
    let path = format!("/notices?since_seq={since}&timeout={timeout}&presence={cursor}{more}");
    viewer.get(&path).await
}
