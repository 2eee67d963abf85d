//! Presence while nodes die, are suspended or drain, and while Redis is empty or away.

use crate::support::online::{
    SHOWN, TIMINGS, another_node, keeps, presence, shows, start, stay, two_nodes,
};
use crate::support::{Answer, App, Person, Proxy, eventually, number, services};
use serde_json::json;
use std::time::{Duration, Instant};
use tideline::config::Secret;
use tideline::model::people::presence::NodeId;
use tideline::node::Node;

/// How long a node takes to be concluded gone: its beats, and the one that was counted last.
fn conclusion() -> std::ops::Range<Duration> {
    let beats = TIMINGS.beat * TIMINGS.still_beats;
    beats - TIMINGS.beat..beats + TIMINGS.beat * 2 + Duration::from_secs(2)
}

async fn known_everywhere(app: &App, viewers: &[&Person]) {
    for viewer in viewers {
        shows(viewer, viewer, "offline").await;
    }
    let read = async || {
        let unread = |node: &tideline::node::Node| {
            let replica = &node.handles.delivery.waiters.presence.replica;
            replica.unread().len() + (app.nodes.len() - 1).abs_diff(replica.nodes().len())
        };
        app.nodes.iter().map(unread).sum::<usize>()
    };
    eventually("all nodes are read", SHOWN, read, |n| *n == 0).await;
}

/// A node that is cut off from Redis is, for the others, one that was killed.
#[tokio::test(flavor = "multi_thread")]
async fn devices_of_a_dead_node_go_after_its_beats_stand_still() {
    let (app, redis, second) = two_nodes().await;
    let [ann, ben, cat] = app.people(["ann", "ben", "cat"]).await;
    known_everywhere(&app, &[&ben, &ben.at(&second)]).await;
    let (waits, cats) = (stay(&ann.at(&second), ""), stay(&cat.at(&second), ""));
    for person in [&ann, &cat] {
        shows(&ben, person, "online").await;
    }
    redis.cut();
    let died = Instant::now();
    waits.abort();
    cats.abort();
    // Cat comes back on the other node, and is never seen offline.
    let again = stay(&cat, "");
    let reader = ben.clone();
    let back = cat.clone();
    let stays = tokio::spawn(async move {
        keeps(&reader, &back, "online", Duration::from_secs(5)).await;
    });
    let early = conclusion().start - Duration::from_millis(300);
    keeps(&ben, &ann, "online", early).await;
    eventually(
        "she goes",
        conclusion().end,
        async || presence(&ben, &ann).await,
        |one| one["state"] == "offline",
    )
    .await;
    let took = died.elapsed();
    assert!(conclusion().contains(&took), "{took:?}");
    stays.await.unwrap();
    again.abort();
    // The node comes back, with its own beats and devices.
    redis.heal();
    let waits = stay(&ann.at(&second), "");
    shows(&ben, &ann, "online").await;
    waits.abort();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn short_silence_of_a_node_is_not_seen() {
    let (app, redis, second) = two_nodes().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    known_everywhere(&app, &[&ben, &ben.at(&second)]).await;
    let waits = stay(&ann.at(&second), "");
    shows(&ben, &ann, "online").await;
    redis.freeze();
    keeps(&ben, &ann, "online", conclusion().start / 2).await;
    redis.heal();
    keeps(&ben, &ann, "online", conclusion().end).await;
    waits.abort();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_is_not_seen() {
    let (mut app, _redis, second) = two_nodes().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    known_everywhere(&app, &[&ben, &ben.at(&second)]).await;
    let waits = stay(&ann.at(&second), "");
    shows(&ben, &ann, "online").await;
    let node = app.nodes.pop().unwrap();
    let (reader, person) = (ben.clone(), ann.clone());
    let shown = tokio::spawn(async move {
        keeps(&reader, &person, "online", Duration::from_secs(6)).await;
    });
    let (moved, moves_to) = tokio::sync::oneshot::channel();
    let moves = async {
        tokio::time::sleep(Duration::from_millis(800)).await;
        waits.abort();
        assert!(moved.send(stay(&ann, "")).is_ok());
    };
    let (_slow, ()) = tokio::join!(node.stop(), moves);
    shown.await.unwrap();
    let moved = moves_to.await.unwrap();
    moved.abort();
    app.finish().await;
}

/// After Redis has lost everything, the nodes store their devices again, and nobody was offline meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn flushed_redis_shows_nobody_offline() {
    let (mut app, _redis, second) = two_nodes().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    known_everywhere(&app, &[&ben, &ben.at(&second)]).await;
    let waits = [stay(&ann, ""), stay(&ben.at(&second), "")];
    let pairs = [(&ben, &ann), (&ann, &ben)];
    for url in [app.url(), second.clone()] {
        for (viewer, person) in pairs {
            shows(&viewer.at(&url), person, "online").await;
        }
    }
    for _ in 0..3 {
        app.flush_redis().await;
        let all = [app.url(), second.clone()].into_iter().flat_map(|url| {
            pairs.map(|(viewer, person)| {
                let (viewer, person) = (viewer.at(&url), person.clone());
                async move { keeps(&viewer, &person, "online", Duration::from_secs(1)).await }
            })
        });
        futures_util::future::join_all(all).await;
    }
    // A node that comes afterwards reads them whole.
    let (_third_redis, third) = another_node(&mut app).await;
    for (viewer, person) in pairs {
        shows(&viewer.at(&third), person, "online").await;
    }
    waits.into_iter().for_each(|one| one.abort());
    app.finish().await;
}

/// Without Redis everybody elsewhere is unknown, and never offline: not even when it answers again after longer than a node may be
/// silent.
#[tokio::test(flavor = "multi_thread")]
async fn without_redis_people_are_unknown_and_never_offline() {
    let app = App::configured(|config| config.presence_timings = TIMINGS).await;
    let mut app = app;
    let (second_redis, second) = another_node(&mut app).await;
    let [ann, ben, cat] = app.people(["ann", "ben", "cat"]).await;
    known_everywhere(&app, &[&ben, &ben.at(&second)]).await;
    let waits = [stay(&ann.at(&second), ""), stay(&cat, "")];
    shows(&ben, &ann, "online").await;
    shows(&ben, &cat, "online").await;
    // The reader's node has its last beat.
    second_redis.freeze();
    tokio::time::sleep(TIMINGS.beat * 3).await;
    app.redis.freeze();
    let began = Instant::now();
    let mut seen = Vec::new();
    while began.elapsed() < conclusion().end {
        let state = presence(&ben, &ann).await["state"].clone();
        if seen.last() != Some(&state) {
            seen.push(state);
        }
        // Those who wait here are known.
        assert_eq!(presence(&ben, &cat).await["state"], "online");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(seen, ["online", "unknown"]);
    // The reader's node first: the other one has not yet beaten when it counts.
    app.redis.heal();
    let (reader, person) = (ben.clone(), ann.clone());
    let never_offline = tokio::spawn(async move {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(4) {
            assert_ne!(presence(&reader, &person).await["state"], "offline");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    tokio::time::sleep(TIMINGS.beat * TIMINGS.still_beats / 2).await;
    second_redis.heal();
    never_offline.await.unwrap();
    shows(&ben, &ann, "online").await;
    waits.into_iter().for_each(|one| one.abort());
    app.finish().await;
}

/// A node that is missing in the beats stands still; it is not gone.
#[tokio::test(flavor = "multi_thread")]
async fn missing_beat_is_no_end() {
    let (app, _redis, second) = two_nodes().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    known_everywhere(&app, &[&ben, &ben.at(&second)]).await;
    let waits = stay(&ann.at(&second), "");
    shows(&ben, &ann, "online").await;
    let NodeId(other) = app.nodes[1].handles.delivery.waiters.presence.node;
    let client = redis::Client::open(services().redis_url()).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let key = format!("tl:{}:beats:{{nodes}}", app.nodes[0].handles.delivery.epoch);
    let began = Instant::now();
    while began.elapsed() < TIMINGS.beat * TIMINGS.still_beats / 2 {
        let _: i64 = redis::cmd("HDEL")
            .arg(&key)
            .arg(other.to_string())
            .query_async(&mut redis)
            .await
            .unwrap();
        keeps(&ben, &ann, "online", Duration::from_millis(90)).await;
    }
    waits.abort();
    app.finish().await;
}

/// A version that is missing is found by the next message, and the node is read again.
#[tokio::test(flavor = "multi_thread")]
async fn lost_changes_are_read_again() {
    let (app, redis, second) = two_nodes().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    known_everywhere(&app, &[&ben, &ben.at(&second)]).await;
    for _ in 0..3 {
        // The connection of the reader is gone while the change is published.
        redis.cut();
        let waits = stay(&ann, "");
        shows(&ben, &ann, "online").await;
        redis.heal();
        shows(&ben.at(&second), &ann, "online").await;
        waits.abort();
        for viewer in [&ben, &ben.at(&second)] {
            shows(viewer, &ann, "offline").await;
        }
    }
    app.finish().await;
}

/// A node that has just begun does not take people for offline who had no time to come back. One that finds an older node knows it.
#[tokio::test(flavor = "multi_thread")]
async fn new_node_takes_nobody_for_offline() {
    let mut app = start().await;
    let people = app.people(["ann", "ben", "cat"]).await;
    // All nodes begin anew: devices of before may come back.
    app.nodes.remove(0).stop().await.unwrap();
    let began = Instant::now();
    app.add_node().await;
    let [ann, ben, cat] = people.map(|one| one.at(&app.url()));
    let [new] = app.people(["new"]).await;
    let ready = async || presence(&ben, &new).await["state"].clone();
    // Nobody has seen who has registered since.
    eventually("read", SHOWN, ready, |state| state == "offline").await;
    let mut seen = Vec::new();
    while began.elapsed() < SHOWN && seen.last().is_none_or(|state| state != "offline") {
        let state = presence(&ben, &ann).await["state"].clone();
        if seen.last() != Some(&state) {
            seen.push(state);
        }
    }
    assert_eq!(seen, ["unknown", "offline"]);
    assert!(began.elapsed() >= TIMINGS.silence());
    let waits = stay(&cat, "");
    shows(&ben, &cat, "online").await;
    tokio::time::sleep(TIMINGS.beat * 2).await;
    for _ in 0..3 {
        // From the first moment in which it is ready.
        let node = Node::start(app.config.clone()).await.unwrap();
        let there = ben.at(&format!("http://{}", node.address));
        let ready = format!("http://{}/health/ready", node.address);
        while app.http.get(&ready).send().await.unwrap().status() != 200 {}
        assert_eq!(presence(&there, &cat).await["state"], "online");
        assert_eq!(presence(&there, &ann).await["state"], "offline");
        app.nodes.push(node);
    }
    waits.abort();
    app.finish().await;
}

/// A node is not ready before it has read the others, but it does not wait long for a Redis that is away.
#[tokio::test(flavor = "multi_thread")]
async fn node_is_ready_when_it_has_read_the_others() {
    let mut app = start().await;
    let redis = Proxy::before(&services().redis_url());
    redis.cut();
    let mut config = app.config.clone();
    config.redis_url = Secret(redis.url().to_owned());
    for is_back in [true, false] {
        let node = Node::start(config.clone()).await.unwrap();
        let began = Instant::now();
        let url = format!("http://{}/health/ready", node.address);
        let ready = async || {
            let answer = app.http.get(&url).send().await.unwrap();
            Answer::of(answer).await
        };
        let refused = ready().await;
        let reasons = json!(["the node reads who is online"]);
        assert_eq!((refused.status, &refused.body["reasons"]), (503, &reasons));
        if is_back {
            redis.heal();
        }
        let within = Duration::from_secs(12);
        eventually("it is ready", within, ready, |one| one.status == 200).await;
        assert!(is_back || began.elapsed() > Duration::from_secs(9));
        redis.cut();
        app.nodes.push(node);
    }
    app.finish().await;
}

/// After all nodes were away for longer than a node may be silent, nobody who was there is online again.
#[tokio::test(flavor = "multi_thread")]
async fn devices_of_a_node_that_died_long_ago_are_gone() {
    let mut app = start().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    ann.patch("/me/privacy", json!({"last_seen": "everyone"}))
        .await
        .ok(200);
    let waits = stay(&ann, "");
    shows(&ben, &ann, "online").await;
    app.redis.cut();
    let died = tideline::clock::unix_seconds();
    tokio::time::sleep(TIMINGS.silence() + Duration::from_secs(2)).await;
    let (_redis, second) = another_node(&mut app).await;
    let there = ben.at(&second);
    let began = Instant::now();
    let mut state = presence(&there, &ann).await["state"].clone();
    while state != "offline" {
        assert!(state == "unknown" && began.elapsed() < SHOWN, "{state}");
        state = presence(&there, &ann).await["state"].clone();
    }
    let stored = "SELECT extract(epoch FROM at)::bigint AS n FROM last_seen";
    let stored = async || {
        number(
            &mut app.database(),
            &format!("SELECT COALESCE(({stored}), 0) AS n"),
        )
    };
    let at = eventually("it is stored", SHOWN, stored, |at| *at > 0).await;
    assert!((died - 2..=died + 1).contains(&at), "{at} {died}");
    waits.abort();
    app.finish().await;
}
