//! Presence that comes with the answers of waits.

use crate::support::online::{
    SHOWN, TIMINGS, follow, presence, shows, start, stay, two_nodes, wait,
};
use crate::support::{Person, eventually, number};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tideline::config::Secret;
use tokio::task::JoinHandle;

/// A client that follows people: what it shows, and its cursor.
pub(super) struct Follower {
    pub(super) person: Person,
    pub(super) shown: BTreeMap<String, Value>,
    pub(super) cursor: String,
}

impl Follower {
    pub(super) async fn of(person: &Person, people: &[&Person]) -> Self {
        let (presences, cursor) = follow(person, people).await;
        let presences = presences.as_array().unwrap().iter();
        let shown = presences.map(|one| (one["user_id"].as_str().unwrap().to_owned(), change(one)));
        Self {
            person: person.clone(),
            shown: shown.collect(),
            cursor,
        }
    }

    /// Applies the changes of an answer.
    fn apply(&mut self, notice: &Value) -> usize {
        let signal = &notice["signals"]["presence"];
        let Some(changes) = signal["changes"].as_array() else {
            assert!(signal.is_null(), "{notice}");
            return 0;
        };
        assert!(!changes.is_empty(), "{notice}");
        for one in changes {
            let id = one["user_id"].as_str().unwrap();
            assert!(self.shown.insert(id.to_owned(), one.clone()).is_some());
        }
        signal["cursor"]
            .as_str()
            .unwrap()
            .clone_into(&mut self.cursor);
        changes.len()
    }

    pub(super) async fn wait(&mut self, timeout: u64, more: &str) -> usize {
        let notice = wait(&self.person, &self.cursor, timeout, more)
            .await
            .ok(200);
        self.apply(&notice)
    }

    /// Asks until it shows somebody in this state.
    pub(super) async fn sees(&mut self, person: &Person, state: &str) -> Value {
        let began = Instant::now();
        while self.shown[&person.id]["state"] != state {
            assert!(began.elapsed() < SHOWN, "{:?}", self.shown[&person.id]);
            self.wait(0, "").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.shown[&person.id].clone()
    }
}

/// What a change and an answer have in common.
fn change(presence: &Value) -> Value {
    let mut change = presence.clone();
    change.as_object_mut().unwrap().remove("last_seen_at");
    change
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_ride_with_an_answer_and_wake_nobody() {
    let app = start().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    shows(&ben, &ann, "offline").await;
    let mut follower = Follower::of(&ben, &[&ann]).await;
    // Nothing has changed.
    let notice = wait(&ben, &follower.cursor, 1, "").await.ok(200);
    assert_eq!(notice["signals"], json!({"presence": null}));
    let began = Instant::now();
    let (cursor, reader) = (follower.cursor.clone(), ben.clone());
    let waiting = tokio::spawn(async move { wait(&reader, &cursor, 3, "").await.ok(200) });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let waits = stay(&ann, "");
    let notice = waiting.await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(2_900));
    assert_eq!(
        (&notice["news"], &notice["last_seq"]),
        (&json!(false), &json!(0))
    );
    assert_eq!(follower.apply(&notice), 1);
    assert_eq!(follower.shown[&ann.id], change(&presence(&ben, &ann).await));
    assert_eq!(follower.shown[&ann.id]["state"], "online");
    // The same cursor twice has the same changes; the new one has none.
    let again = Follower::of(&ben, &[&ann]).await;
    assert_eq!(again.shown, follower.shown);
    assert_eq!(follower.wait(0, "").await, 0);
    // An answer with news has them as well.
    waits.abort();
    shows(&ben, &ann, "offline").await;
    ann.direct(&ben).await;
    let path = format!(
        "/notices?since_seq=0&timeout=5&presence={}",
        follower.cursor
    );
    let notice = ben.get(&path).await.ok(200);
    assert_eq!(
        (&notice["news"], follower.apply(&notice)),
        (&json!(true), 1)
    );
    assert_eq!(follower.shown[&ann.id]["state"], "offline");
    // What was not asked for is absent.
    let plain = ben.wait(1, 1).await;
    assert!(plain.get("signals").is_none());
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cursor_works_on_every_node_and_no_answer_reads_a_database() {
    let (app, redis, second) = two_nodes().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let there = ben.at(&second);
    for viewer in [&ben, &there] {
        shows(viewer, &ann, "offline").await;
    }
    let mut follower = Follower::of(&ben, &[&ann]).await;
    let waits = stay(&ann, "");
    let staying = stay(&there, "");
    shows(&there, &ann, "online").await;
    shows(&there, &ben, "online").await;
    follower.person = there.clone();
    // Neither Redis nor a query is needed to compare.
    let delivery = &app.nodes[1].handles.delivery;
    redis.freeze();
    let cursor = follower.cursor.clone();
    let user = tideline::model::ids::UserId(ben.id.parse().unwrap());
    let sealed =
        delivery
            .waiters
            .presence
            .keys
            .open(user, &cursor, tideline::clock::unix_seconds());
    app.postgres.freeze();
    let signal =
        tideline::domain::people::presence::changes(delivery, user, &sealed.unwrap()).await;
    app.postgres.heal();
    redis.heal();
    assert_eq!(signal.unwrap().changes.len(), 1);
    follower.sees(&ann, "online").await;
    waits.abort();
    staying.abort();
    app.finish().await;
}

/// Presence is in no table.
#[tokio::test(flavor = "multi_thread")]
async fn waits_write_nothing() {
    let app = start().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let rows = || {
        let mut conn = app.database();
        let sql = "SELECT ((SELECT count(*) FROM inbox) + (SELECT COALESCE(sum(last_seq), 0) FROM timelines)
            + (SELECT count(*) FROM last_seen) + (SELECT sum(audience_rev + rev) FROM users))::bigint AS n";
        number(&mut conn, sql)
    };
    let before = rows();
    let waits = [stay(&ann, ""), stay(&ben, "&activity=idle")];
    shows(&ann, &ben, "away").await;
    shows(&ben, &ann, "online").await;
    assert_eq!(rows(), before);
    waits.into_iter().for_each(|one| one.abort());
    app.finish().await;
}

/// A block and a change of an audience are in force for running waits, in both directions.
#[tokio::test(flavor = "multi_thread")]
async fn permission_is_asked_again_when_a_number_moves() {
    let (app, _redis, second) = two_nodes().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let there = ann.at(&second);
    let waits = [stay(&there, ""), stay(&ben, "")];
    shows(&ben, &ann, "online").await;
    shows(&there, &ben, "online").await;
    let mut bens = Follower::of(&ben, &[&ann]).await;
    let mut anns = Follower::of(&there, &[&ben]).await;
    let unknown =
        |of: &Person| json!({"user_id": of.id, "state": "unknown", "platforms": [], "rev": null});
    let contact = format!("/me/contacts/{}", ben.id);
    let block = format!("/me/blocks/{}", ben.id);
    let steps: [(&str, &str, Value, bool); 8] = [
        ("PUT", &block, Value::Null, false),
        ("DELETE", &block, Value::Null, true),
        ("PATCH", "/me/privacy", json!({"presence": "nobody"}), false),
        (
            "PATCH",
            "/me/privacy",
            json!({"presence": "contacts"}),
            false,
        ),
        ("PUT", &contact, json!({}), true),
        ("DELETE", &contact, Value::Null, false),
        ("PATCH", "/me/privacy", json!({"presence": null}), true),
        ("PATCH", "/me/privacy", json!({"last_seen": "nobody"}), true),
    ];
    for (method, path, body, visible) in steps {
        let body = Some(&body).filter(|body| !body.is_null());
        let answer = ann.try_call(method, path, body).await.unwrap();
        assert!(answer.status < 300, "{}", answer.body);
        let expected = if visible { "online" } else { "unknown" };
        let seen = bens.sees(&ann, expected).await;
        let also = anns.sees(&ben, expected).await;
        if !visible {
            assert_eq!(
                (seen, also),
                (unknown(&ann), unknown(&ben)),
                "{method} {path}"
            );
            // Never after: whatever the person does.
            for _ in 0..5 {
                assert_eq!(bens.wait(0, "").await, 0);
            }
        }
    }
    waits.into_iter().for_each(|one| one.abort());
    app.finish().await;
}

/// A node that cannot ask who may see whom answers without presence. The client keeps its cursor, and the next answer has all changes.
#[tokio::test(flavor = "multi_thread")]
async fn answer_without_presence_loses_no_change() {
    let mut app = start().await;
    let mut config = app.config.clone();
    // Not through the proxy that will not answer.
    config.database_url = Secret(app.database_url());
    app.add_node_with(config).await;
    let [ann, ben, cem] = app.people(["ann", "ben", "cem"]).await;
    let there = format!("http://{}", app.nodes[1].address);
    let waits = [stay(&ann.at(&there), ""), stay(&cem.at(&there), "")];
    for person in [&ann, &cem] {
        shows(&ben, person, "online").await;
    }
    let mut bens = Follower::of(&ben, &[&ann, &cem]).await;
    bens.wait(0, "").await;
    let shed = || app.nodes[0].handles.delivery.metrics.presence_shed.get();
    let (waiting, before) = (bens.wait(2, ""), shed());
    let hides = async {
        app.asleep(0, 1).await;
        app.postgres.freeze();
        let ann = ann.at(&there);
        ann.patch("/me/privacy", json!({"presence": "nobody"}))
            .await
            .ok(200);
        let busy = json!({"availability": "busy"});
        cem.at(&there).put("/me/status", busy).await.ok(200);
    };
    let (changes, ()) = tokio::join!(waiting, hides);
    assert_eq!((changes, shed() - before), (0, 1));
    app.postgres.heal();
    assert_eq!(bens.sees(&ann, "unknown").await["rev"], Value::Null);
    bens.sees(&cem, "busy").await;
    waits.into_iter().for_each(|one| one.abort());
    app.finish().await;
}

/// Nobody learns from a cursor who exists and hides: there is no answer when such a person does something.
#[tokio::test(flavor = "multi_thread")]
async fn hidden_people_and_unknown_ids_have_no_changes() {
    let app = start().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    ann.patch("/me/privacy", json!({"presence": "nobody"}))
        .await
        .ok(200);
    let mut follower = Follower::of(&ben, &[&ann]).await;
    let own = stay(&ben, "");
    shows(&ben, &ben, "online").await;
    let waits = stay(&ann, "");
    for status in ["busy", "away", "invisible", "auto"] {
        ann.put("/me/status", json!({"availability": status}))
            .await
            .ok(200);
        ann.patch("/me/privacy", json!({"presence": "contacts"}))
            .await
            .ok(200);
        ann.patch("/me/privacy", json!({"presence": "nobody"}))
            .await
            .ok(200);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(follower.wait(0, "").await, 0);
    }
    shows(&ann, &ann, "online").await;
    let own_follower = Follower::of(&ann, &[&ann]).await;
    assert_eq!(own_follower.shown[&ann.id]["state"], "online");
    waits.abort();
    own.abort();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changing_activity_publishes_at_most_one_change_a_pause() {
    let app = start().await;
    let [ann, ben] = app.people(["ann", "ben"]).await;
    let phone = ann.another_device(&app).await;
    let published = || {
        app.nodes[0]
            .handles
            .delivery
            .metrics
            .presence_published
            .get()
    };
    let loops = [poll(&ann, &["active"]), poll(&phone, &["idle"])];
    shows(&ben, &ann, "online").await;
    let both = async || published();
    eventually("both devices", SHOWN, both, |count| *count == 2).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(published(), 2);
    loops.into_iter().for_each(|one| one.abort());
    shows(&ben, &ann, "offline").await;
    let before = published();
    let toggling = poll(&ann, &["active", "idle"]);
    let time = Duration::from_secs(5);
    tokio::time::sleep(time).await;
    toggling.abort();
    let most = time.as_secs() / TIMINGS.pause.as_secs() + 1;
    let count = published() - before;
    assert!((2..=most).contains(&count), "{count}");
    app.finish().await;
}

/// Probes with heartbeats, many times a second.
fn poll(person: &Person, activities: &'static [&'static str]) -> JoinHandle<()> {
    let person = person.clone();
    tokio::spawn(async move {
        for activity in activities.iter().cycle() {
            let path = format!("/notices?since_seq=0&timeout=5&activity={activity}");
            let wait = person.try_call("GET", &path, None);
            let _superseded = tokio::time::timeout(Duration::from_millis(50), wait).await;
        }
    })
}

/// A change ends a wait that asks for it, not before some time, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn change_ends_only_waits_that_ask_for_it() {
    let app = start().await;
    let [ann, ben, cat, dan] = app.people(["ann", "ben", "cat", "dan"]).await;
    shows(&ben, &ann, "offline").await;
    let began = Instant::now();
    let waiting = async |who: &Person, more: &str| {
        let cursor = Follower::of(who, &[&ann]).await.cursor;
        let notice = wait(who, &cursor, 5, more).await.ok(200);
        (began.elapsed(), notice)
    };
    let come = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        vec![stay(&ann, "")]
    };
    let (woken, riding, plain, waits) = tokio::join!(
        waiting(&ben, "&presence_wake=true"),
        waiting(&cat, "&presence_wake=false"),
        dan.wait(0, 5),
        come,
    );
    let (took, notice) = woken;
    assert_eq!(
        notice["signals"]["presence"]["changes"][0]["state"],
        "online"
    );
    assert_eq!(notice["news"], false);
    let latest = TIMINGS.wake_after + TIMINGS.wake_spread + Duration::from_millis(1_500);
    assert!((TIMINGS.wake_after..latest).contains(&took), "{took:?}");
    let (took, notice) = riding;
    assert_eq!(
        notice["signals"]["presence"]["changes"][0]["state"],
        "online"
    );
    assert!(took >= Duration::from_millis(4_900), "{took:?}");
    assert!(plain.get("signals").is_none() && began.elapsed() >= Duration::from_millis(4_900));
    // One that began before its change was seen is woken for it, too; and for nothing it is not.
    let mut follower = Follower::of(&ben, &[&ann]).await;
    assert_eq!(follower.wait(2, "&presence_wake=true").await, 0);
    waits.into_iter().for_each(|one| one.abort());
    shows(&cat, &ann, "offline").await;
    let began = Instant::now();
    assert_eq!(follower.wait(5, "&presence_wake=true").await, 1);
    assert!(began.elapsed() < latest);
    app.finish().await;
}

/// Random steps over two nodes, with answers that are lost: a client that applies the changes ends with what is.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn follower_ends_with_what_is() {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    let (app, second_redis, second) = two_nodes().await;
    let [ben, one, two, three, four] = app.people(["ben", "one", "two", "three", "four"]).await;
    let people = [&one, &two, &three, &four];
    let urls = [app.url(), second];
    for url in &urls {
        shows(&ben.at(url), &one, "offline").await;
    }
    let seed = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    let own = stay(&ben, "");
    shows(&ben.at(&urls[1]), &ben, "online").await;
    let mut follower = Follower::of(&ben, &people).await;
    let mut waits: BTreeMap<usize, JoinHandle<()>> = BTreeMap::new();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(8) {
        let which = random.random_range(0..people.len());
        let person = people[which];
        let url = &urls[random.random_range(0..2)];
        match random.random_range(0..8) {
            0..=2 => {
                let activity =
                    ["", "&activity=idle", "&activity=active"][random.random_range(0..3)];
                if let Some(before) = waits.insert(which, stay(&person.at(url), activity)) {
                    before.abort();
                }
            }
            3 => drop(waits.remove(&which).map(|wait| wait.abort())),
            4 => {
                let chosen = ["auto", "busy", "away", "invisible"][random.random_range(0..4)];
                let status = json!({"availability": chosen});
                person.put("/me/status", status).await.ok(200);
            }
            5 => {
                // Connections are made again, and the devices are read again.
                second_redis.cut();
                second_redis.heal();
            }
            6 => {
                let name = json!({"display_name": format!("n{}", random.random_range(0..9))});
                person.patch("/me", name).await.ok(200);
            }
            _ => {
                // The answer is lost: the client keeps its cursor.
                wait(&ben.at(url), &follower.cursor, 0, "").await.ok(200);
            }
        }
        follower.person = ben.at(&urls[random.random_range(0..2)]);
        follower.wait(0, "").await;
    }
    // Nothing more happens: it comes to rest on both nodes.
    waits.into_values().for_each(|one| one.abort());
    tokio::time::sleep(TIMINGS.linger + TIMINGS.pause).await;
    for url in &urls {
        follower.person = ben.at(url);
        let mut same = async || {
            follower.wait(0, "").await;
            let now = Follower::of(&follower.person, &people).await;
            (follower.shown.clone(), now.shown)
        };
        let what = format!("the follower agrees, seed {seed}");
        let (shown, _) = eventually(&what, SHOWN, &mut same, |(mine, now)| mine == now).await;
        assert!(
            shown.values().all(|one| one["state"] == "offline"),
            "{shown:?}"
        );
    }
    own.abort();
    app.finish().await;
}
