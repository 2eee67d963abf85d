//! Row 6: the time from a message to a group of the largest size with write fan-out until the last member is notified. All members
//! wait. Row 7: the same for a channel that a tenth of its members watch.

use crate::Options;
use crate::client::{Connection, Person};
use crate::deployment::{Deployment, Environment};
use crate::devices::{WaitConfig, WaitingDevices};
use crate::load::send;
use crate::report::{Goal, Line};
use serde_json::json;
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
    let mut room = Room::of(deployment, "group", members).await;
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
    let mut room = Room::of(deployment, "channel", members / 10).await;
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
    async fn of(deployment: Deployment, kind: &str, waiting: usize) -> Self {
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
        if kind == "channel" {
            devices.watch(&id);
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
