//! Who is online, and who may see it.

use crate::support::online::{
    SHOWN, TIMINGS, follow, keeps, presence, presences, shows, start, stay, two_nodes, wait,
};
use crate::support::{App, Person, eventually, id};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tideline::config::presence::{MAX_CLIENT_PAUSE, PresenceTimings};
use tideline::model::wire::people::privacy::Audience;

async fn set(person: &Person, change: Value) {
    person.patch("/me/privacy", change).await.ok(200);
}

/// The first answer may come before the node has read the others.
async fn joined(viewer: &Person) {
    shows(viewer, viewer, "offline").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn person_is_online_while_a_device_waits_and_a_while_after() {
    let app = start().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    joined(&ben).await;
    let offline = json!({"user_id": ann.id, "state": "offline", "platforms": [], "last_seen_at": null, "rev": null});
    assert_eq!(presence(&ben, &ann).await, offline);
    // Neither a request nor a probe is a heartbeat.
    ann.get("/me").await.ok(200);
    ann.wait(0, 0).await;
    keeps(&ben, &ann, "offline", Duration::from_millis(300)).await;
    let waits = stay(&ann, "");
    let online = shows(&ben, &ann, "online").await;
    let expected = json!({"user_id": ann.id, "state": "online", "platforms": ["other"], "last_seen_at": null, "rev": 1});
    assert_eq!(online, expected);
    keeps(&ben, &ann, "online", Duration::from_secs(6)).await;
    waits.abort();
    let ended = Instant::now();
    keeps(&ben, &ann, "online", Duration::from_millis(1_500)).await;
    shows(&ben, &ann, "offline").await;
    assert!(ended.elapsed() >= TIMINGS.linger - TIMINGS.tick);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_ends_presence_immediately() {
    let app = start().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    joined(&ben).await;
    let waits = stay(&ann, "");
    shows(&ben, &ann, "online").await;
    waits.abort();
    ann.call("DELETE", &format!("/me/devices/{}", ann.device))
        .await
        .ok(204);
    let ended = Instant::now();
    shows(&ben, &ann, "offline").await;
    assert!(ended.elapsed() < TIMINGS.linger / 2);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn best_device_counts_and_bots_only_when_they_say_so() {
    let app = start().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let login = async |platform: &str| {
        let body = json!({"username": "ann", "password": crate::support::PASSWORD, "device": {"platform": platform}});
        let session = app.call("POST", "/v1/auth/login", Some(body)).await.ok(200);
        Person::of_session(&app, &session)
    };
    let (phone, bot) = (login("ios").await, login("bot").await);
    joined(&ben).await;
    let integration = stay(&bot, "");
    keeps(&ben, &ann, "offline", Duration::from_millis(500)).await;
    integration.abort();
    let idle = stay(&phone, "&activity=idle");
    let away = shows(&ben, &ann, "away").await;
    assert_eq!(away["platforms"], json!(["ios"]));
    let active = stay(&ann, "&activity=active");
    let online = shows(&ben, &ann, "online").await;
    assert_eq!(online["platforms"], json!(["ios", "other"]));
    active.abort();
    let says = stay(&bot, "&activity=active");
    let both = async || presence(&ben, &ann).await["platforms"].clone();
    let platforms = json!(["ios", "bot"]);
    eventually("both", SHOWN, both, |now| *now == platforms).await;
    idle.abort();
    says.abort();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn availability_is_shown_over_the_devices_until_it_ends() {
    let app = start().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    joined(&ben).await;
    let choose = async |availability: &str| {
        let status = json!({"availability": availability});
        ann.put("/me/status", status).await.ok(200);
    };
    // Offline wins over all of it.
    choose("busy").await;
    keeps(&ben, &ann, "offline", Duration::from_millis(300)).await;
    let waits = stay(&ann, "");
    shows(&ben, &ann, "busy").await;
    for (chosen, shown) in [
        ("away", "away"),
        ("do_not_disturb", "busy"),
        ("invisible", "offline"),
        ("auto", "online"),
    ] {
        choose(chosen).await;
        let now = shows(&ben, &ann, shown).await;
        assert_eq!(
            now["platforms"].as_array().unwrap().is_empty(),
            shown == "offline"
        );
        assert_eq!(now["rev"].is_null(), shown == "offline");
    }
    let until = chrono::DateTime::from_timestamp(tideline::clock::unix_seconds() + 3, 0).unwrap();
    let status = json!({"availability": "busy", "until": until.to_rfc3339()});
    ann.put("/me/status", status).await.ok(200);
    shows(&ben, &ann, "busy").await;
    shows(&ben, &ann, "online").await;
    // A change that others can see has a new number.
    ann.patch("/me", json!({"display_name": "Anna"}))
        .await
        .ok(200);
    let rev = async || presence(&ben, &ann).await["rev"].clone();
    eventually("the new rev", SHOWN, rev, |rev| *rev == 2).await;
    waits.abort();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_show_the_devices_of_each_other() {
    let (app, _redis, second) = two_nodes().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let there = ben.at(&second);
    joined(&ben).await;
    joined(&there).await;
    let waits = stay(&ann, "");
    for viewer in [&ben, &there] {
        assert_eq!(shows(viewer, &ann, "online").await["rev"], 1);
    }
    // The device moves: nobody sees it.
    waits.abort();
    let moved = stay(&ann.at(&second), "");
    for viewer in [&ben, &there] {
        keeps(viewer, &ann, "online", Duration::from_secs(3)).await;
    }
    moved.abort();
    for viewer in [&ben, &there] {
        shows(viewer, &ann, "offline").await;
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn newest_node_of_a_device_counts() {
    let (app, _redis, second) = two_nodes().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let there = ann.at(&second);
    for _ in 0..2 {
        for (device, query, state) in [
            (&ann, "&activity=active", "online"),
            (&there, "&activity=idle", "away"),
        ] {
            // Stamps are seconds.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let waits = stay(device, query);
            shows(&ben, &ann, state).await;
            shows(&ben.at(&second), &ann, state).await;
            waits.abort();
        }
    }
    app.finish().await;
}

/// Every audience of both, for every relation, with a block in both directions: the answer for a person who hides is, byte for byte, that
/// of an id that nobody has.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_be_seen_looks_like_nobody() {
    let app = App::configured(|config| {
        config.presence_timings = TIMINGS;
        config.privacy.last_seen = Audience::Everyone;
    })
    .await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let waits = [stay(&ann, ""), stay(&ben, "")];
    shows(&ann, &ben, "online").await;
    shows(&ben, &ann, "online").await;
    for anns in ["everyone", "contacts", "nobody"] {
        set(&ann, json!({"presence": anns})).await;
        for bens in ["everyone", "contacts", "nobody"] {
            set(&ben, json!({"presence": bens})).await;
            for lists in ["none", "ann", "ben", "both"] {
                for (owner, other, name) in [(&ann, &ben, "ann"), (&ben, &ann, "ben")] {
                    let path = format!("/me/contacts/{}", other.id);
                    match lists == name || lists == "both" {
                        true => drop(owner.put(&path, json!({})).await.ok(200)),
                        false => drop(owner.call("DELETE", &path).await.ok(204)),
                    }
                }
                for blocker in ["none", "ann", "ben"] {
                    let (by, of) = if blocker == "ann" {
                        (&ann, &ben)
                    } else {
                        (&ben, &ann)
                    };
                    if blocker != "none" {
                        by.block(of).await.ok(204);
                    }
                    let has = |audience: &str, name: &str| {
                        audience == "everyone"
                            || audience == "contacts" && (lists == name || lists == "both")
                    };
                    let sees = blocker == "none" && has(anns, "ann") && has(bens, "ben");
                    let which = format!("{anns}, {bens}, list {lists}, block {blocker}");
                    for (viewer, person) in [(&ann, &ben), (&ben, &ann)] {
                        let random = id();
                        let both = presences(viewer, &[&person.id, &random]).await;
                        let (shown, unknown) = (both[0].to_string(), both[1].to_string());
                        assert_eq!(both[1]["state"], "unknown");
                        let is_hidden = shown.replace(&person.id, &random) == unknown;
                        assert_eq!(is_hidden, !sees, "{which}: {shown}");
                        assert!(!sees || both[0]["state"] == "online", "{which}: {shown}");
                    }
                    if blocker != "none" {
                        by.call("DELETE", &format!("/me/blocks/{}", of.id))
                            .await
                            .ok(204);
                    }
                }
            }
        }
    }
    waits.into_iter().for_each(|one| one.abort());
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contact_changes_have_an_entry_where_contacts_are_the_audience() {
    let (app, [ann, ben]) = App::with(["ann", "ben"]).await;
    let kinds = async |who: &Person| -> Vec<String> {
        let entries = who.entries(0).await.into_iter();
        entries
            .map(|one| one["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    let path = format!("/me/contacts/{}", ben.id);
    ann.put(&path, json!({})).await.ok(200);
    ann.put(&path, json!({"alias": "B"})).await.ok(200);
    assert_eq!(kinds(&ann).await, ["contact", "me", "contact"]);
    ann.call("DELETE", &path).await.ok(204);
    assert_eq!(
        kinds(&ann).await,
        ["contact", "me", "contact", "contact", "me"]
    );
    set(&ann, json!({"last_seen": "nobody"})).await;
    ann.put(&path, json!({})).await.ok(200);
    let after = ["contact", "me", "contact", "contact", "me", "me", "contact"];
    assert_eq!(kinds(&ann).await, after);
    assert_eq!(kinds(&ben).await, [""; 0]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_ids_and_cursors_are_refused() {
    let app = start().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let many = vec![id(); 101].join(",");
    let twice = format!("{0},{0}", ben.id);
    for bad in [
        "",
        "?ids=",
        "?ids=x",
        "?ids=,",
        &format!("?ids={many}"),
        &format!("?ids={twice}"),
    ] {
        ann.get(&format!("/presence{bad}"))
            .await
            .problem(400, "validation");
    }
    for bad in [
        json!([]),
        json!(["x"]),
        json!([ben.id, ben.id]),
        json!(vec![id(); 101]),
        Value::Null,
    ] {
        let body = json!({"user_ids": bad});
        ann.post("/presence/cursors", body)
            .await
            .problem(400, "validation");
    }
    let all: Vec<_> = (0..100).map(|_| id()).collect();
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    assert_eq!(presences(&ann, &all).await.as_array().unwrap().len(), 100);
    let (_, cursor) = follow(&ann, &[&ben]).await;
    let forged = format!("A{}", &cursor[1..]);
    let forged = if forged == cursor {
        format!("B{}", &cursor[1..])
    } else {
        forged
    };
    for bad in ["", "x", "%00", &forged, &cursor[..20]] {
        wait(&ann, bad, 0, "")
            .await
            .problem(400, "presence_cursor_invalid");
    }
    wait(&ben, &cursor, 0, "")
        .await
        .problem(400, "presence_cursor_invalid");
    let twice = format!("&presence={cursor}");
    wait(&ann, &cursor, 0, &twice)
        .await
        .problem(400, "validation");
    for bad in ["&activity=asleep", "&presence_wake=maybe"] {
        wait(&ann, &cursor, 0, bad).await.problem(400, "validation");
    }
    ann.get("/notices?since_seq=0&timeout=0&presence_wake=true")
        .await
        .problem(400, "validation");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_everybody_is_unknown() {
    let app = App::configured(|config| {
        config.presence = false;
        config.presence_timings = TIMINGS;
    })
    .await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let waits = stay(&ann, "");
    keeps(&ben, &ann, "unknown", Duration::from_millis(500)).await;
    let (_, cursor) = follow(&ben, &[&ann]).await;
    let notice = wait(&ben, &cursor, 1, "").await.ok(200);
    assert_eq!(notice["signals"], json!({"presence": null}));
    let features = app.call("GET", "/v1/capabilities", None).await.ok(200)["features"].clone();
    assert!(!features.as_array().unwrap().contains(&json!("presence")));
    waits.abort();
    app.finish().await;
}

/// A client that works never looks offline: its longest pause, and some time for a request, fit into the time of a device.
#[test]
fn times_fit_each_other() {
    let times = PresenceTimings::default();
    assert!(times.linger >= MAX_CLIENT_PAUSE + Duration::from_secs(5));
    assert!(times.beat * times.still_beats >= times.linger);
    assert!(times.expiry > times.linger * 10);
    assert!(times.beat * (times.silent_beats + 1) < times.linger);
    assert!(times.tick <= Duration::from_secs(1) && times.pause >= times.tick);
}
