//! Row 6: the time from a message to a group of the largest size with write fan-out until the last member is notified. All members
//! wait. Row 7: the same for a channel that a tenth of its members watch. Row 14: sends to a channel while its members react to a message.

use crate::Options;
use crate::client::{Connection, Person};
use crate::deployment::{Deployment, Environment};
use crate::devices::{WaitConfig, WaitingDevices};
use crate::load::{PlannedRequest, RequestSource, load, send};
use crate::report::{Goal, Line};
use hyper::Method;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// The most members with write fan-out.
const GROUP: usize = 500;

const CHANNEL: usize = 10_000;

/// The most people of one request.
const PEOPLE: usize = 1_000;

/// Messages of a round.
const MESSAGES: usize = 20;

pub async fn group(environment: &Environment, options: &Options) -> Vec<Line> {
    let members = GROUP.min(options.users);
    let deployment = environment.deploy("groups", members).await;
    let mut room = Room::of(deployment, "group", members, false).await;
    let took = room.talk(options.rounds).await;
    room.close(environment).await;
    lines(
        6,
        "message to a group, until the last member is notified",
        took,
    )
}

pub async fn channel(environment: &Environment, options: &Options) -> Vec<Line> {
    let members = CHANNEL.min(options.users);
    let deployment = environment.deploy("channels", members).await;
    let mut room = Room::of(deployment, "channel", members / 10, false).await;
    let written = "SELECT (SELECT count(*) FROM inbox) + (SELECT sum(last_seq) FROM timelines)";
    let before = room.deployment.number(written).await;
    let took = room.talk(options.rounds).await;
    let after = room.deployment.number(written).await;
    assert_eq!(before, after, "nothing is written per member");
    room.close(environment).await;
    lines(
        7,
        "message to a channel, until the last watcher is notified",
        took,
    )
}

/// Sends to the channel in a second, in row 14.
const SENDS: f64 = 20.0;

/// Reactions in a second: three of 10,000 users within a minute.
const REACTIONS: f64 = 500.0;

/// Watchers of row 14: each is woken by every send.
const WATCHERS: usize = 100;

pub async fn storm(environment: &Environment, options: &Options) -> Vec<Line> {
    let members = CHANNEL.min(options.users);
    let deployment = environment.deploy("storms", members).await;
    let room = Room::of(deployment, "channel", WATCHERS.min(members), true).await;
    let (to, people) = (room.deployment.node.address, room.deployment.people.clone());
    let (owner, channel) = (people[0].clone(), room.id.clone());
    let sends: RequestSource = Arc::new(move |_| send(&owner, &channel));
    load(to, 1, Duration::from_secs(1), Some(SENDS), &sends).await;
    let (path, nth) = (
        format!("/v1/conversations/{}/messages/1/reactions", room.id),
        AtomicUsize::new(0),
    );
    let reactions: RequestSource = Arc::new(move |_| {
        let n = nth.fetch_add(1, Ordering::Relaxed);
        PlannedRequest {
            method: Method::PUT,
            path: format!("{path}/{}", ["a", "b", "c", "d"][n / people.len() % 4]),
            person: people[n % people.len()].clone(),
            body: String::new(),
            status: 200,
            must_contain: "reactions".to_owned(),
        }
    });
    let (mut calm, mut stormy) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        calm.push(
            load(to, 8, options.time(), Some(SENDS), &sends)
                .await
                .ms(0.99),
        );
        let (sent, _) = tokio::join!(
            load(to, 8, options.time(), Some(SENDS), &sends),
            load(to, 32, options.time(), Some(REACTIONS), &reactions)
        );
        stormy.push(sent.ms(0.99));
    }
    let counted = "SELECT count(*) FROM reactions";
    let stored = room.deployment.number(counted).await;
    let (path, owner) = (
        format!("/v1/conversations/{}/messages/1", room.id),
        room.deployment.people[0].clone(),
    );
    let mut connection = Connection::open(to).await.unwrap();
    let message = connection.get(&path, &owner).await.unwrap().json(200);
    let shown = message["reactions"].as_array().unwrap().iter();
    let shown: f64 = shown.map(|one| one["count"].as_f64().unwrap()).sum();
    assert_eq!(shown, stored, "the counts are those of the rows");
    let size = "SELECT pg_total_relation_size('message_states') / 1024";
    let size = room.deployment.number(size).await;
    room.close(environment).await;
    let storm = Line {
        reference: calm,
        goal: Goal::AtMost(2.0, 1.2),
        ..Line::fact(
            14,
            "sends to a channel at 500 reactions/s, p99, against none",
            "ms",
            stormy,
        )
    };
    vec![
        storm,
        Line::fact(14, "reactions to that message", "", vec![stored]),
        Line::fact(14, "table and indexes of its state", "KiB", vec![size]),
    ]
}

/// The median and the longest time of each round.
type Times = [Vec<f64>; 2];

fn lines(row: u8, what: &'static str, [typical, slowest]: Times) -> Vec<Line> {
    vec![
        Line {
            goal: Goal::AtMost(60.0, 20.0),
            ..Line::fact(row, what, "ms", typical)
        },
        Line::fact(row, "the slowest of 20", "ms", slowest),
    ]
}

/// A conversation of all people. Some of them wait.
struct Room {
    deployment: Deployment,
    id: String,
    devices: WaitingDevices,
    waiting: usize,
    connection: Connection,
}

impl Room {
    async fn of(deployment: Deployment, kind: &str, waiting: usize, changes: bool) -> Self {
        let people = &deployment.people;
        let mut connection = Connection::open(deployment.node.address).await.unwrap();
        let body = json!({"kind": kind, "title": "everybody"}).to_string();
        let made = connection.post("/v1/conversations", &people[0], body).await;
        let id = made.unwrap().json(201)["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/conversations/{id}/members");
        for some in people[1..].chunks(PEOPLE) {
            let ids: Vec<_> = some.iter().map(|it| &*it.id).collect();
            let body = json!({"user_ids": ids}).to_string();
            let added = connection.post(&path, &people[0], body).await;
            added.unwrap().ok(200);
        }
        let config = WaitConfig {
            timeout: 55,
            spread: false,
            short_waits: 0,
        };
        let mut devices = WaitingDevices::new(deployment.node.address, config);
        match (kind, changes) {
            (_, true) => devices.watch_changes(&id),
            ("channel", false) => devices.watch(&id),
            _ => {}
        }
        devices.grow(&people[..waiting]);
        Self {
            deployment,
            id,
            devices,
            waiting,
            connection,
        }
    }

    async fn talk(&mut self, rounds: usize) -> Times {
        let mut all = Times::default();
        for _ in 0..rounds {
            let mut took = Vec::new();
            for _ in 0..MESSAGES {
                took.push(self.say().await);
            }
            took.sort_by(f64::total_cmp);
            all[0].push(took[MESSAGES / 2]);
            all[1].push(took[MESSAGES - 1]);
        }
        all
    }

    /// Sends one message. Returns the time until all were notified, in milliseconds.
    async fn say(&mut self) -> f64 {
        self.deployment.node.until_parked(self.waiting).await;
        self.devices.clear();
        let owner: &Person = &self.deployment.people[0];
        let request = send(owner, &self.id);
        let begun = Instant::now();
        let sent = async {
            let answer = self
                .connection
                .post(&request.path, owner, request.body)
                .await;
            answer.unwrap().ok(201);
        };
        let notified = async {
            let mut last = begun;
            for _ in 0..self.waiting {
                last = last.max(self.devices.next().await.at);
            }
            last
        };
        let ((), last) = tokio::join!(sent, notified);
        (last - begun).as_secs_f64() * 1e3
    }

    async fn close(self, environment: &Environment) {
        drop(self.devices);
        environment.clear(self.deployment).await;
    }
}
