//! Row 15: what waits and sends cost with presence on, when nobody asks for it, against presence off. Row 16: a change of one person
//! with 18,000 subscribers: until all are notified, the cost for Redis, and the sends of others meanwhile.

use super::{parked, sends_of};
use crate::Options;
use crate::client::{Connection, Person};
use crate::deployment::{Deployment, Environment};
use crate::devices::{WaitConfig, WaitingDevices};
use crate::load::load;
use crate::report::{Goal, Line};
use hyper::Method;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const SWITCH: &str = "TIDELINE_PRESENCE";

/// The default timeout of a wait: a change reaches everybody within it.
const USUAL: u64 = 25;

/// The limit of changes of one person.
const BETWEEN_CHANGES: Duration = Duration::from_secs(11);

/// Sends in a second, of people that nobody subscribes to.
const SENDS: f64 = 300.0;

/// A subscriber that is notified later than this was forgotten: two waits.
const LATEST: Duration = Duration::from_secs(60);

/// An entry of the slow log of Redis: its number, the time, the microseconds, the call, the client's address and name.
type LoggedCall = (u64, u64, u32, Vec<Vec<u8>>, String, String);

/// How many people send.
const SENDERS: usize = 1_000;

pub async fn unused(environment: &Environment, options: &Options) -> Vec<Line> {
    let mut deployment = environment.deploy("presence_unused", options.parked).await;
    let ring = deployment.ring("").await;
    let requests = sends_of(&deployment.people, &ring);
    let (mut memory, mut sends): ([Vec<f64>; 2], [Vec<f64>; 2]) = Default::default();
    for round in 0..options.rounds {
        for turn in 0..2 {
            let on = (round + turn) % 2;
            deployment.variables = vec![(SWITCH, ["off", "on"][on])];
            deployment.restart().await;
            memory[on].push(parked::slope(&deployment, 0).await);
            let to = deployment.node.address;
            load(to, options.clients, Duration::from_secs(2), None, &requests).await;
            deployment.sql("CHECKPOINT").await;
            let before = deployment.node.cpu();
            let load = load(to, options.clients, options.time(), None, &requests).await;
            sends[on].push((deployment.node.cpu() - before) * 1e6 / load.answered as f64);
        }
    }
    environment.clear(deployment).await;
    let line = |what, unit, [off, on]: [Vec<f64>; 2], most| Line {
        reference: off,
        goal: Goal::AtMost(most, 1.0),
        ..Line::fact(15, what, unit, on)
    };
    vec![
        line(
            "memory of a wait, presence on, against off",
            "KiB",
            memory,
            1.1,
        ),
        line(
            "node's processor for a message, the same",
            "µs",
            sends,
            1.01,
        ),
    ]
}

pub async fn subscribers(environment: &Environment, options: &Options) -> Vec<Line> {
    let people = 1 + options.parked + SENDERS;
    let deployment = environment.deploy("presence", people).await;
    let ring = deployment.ring("").await;
    let (people, to) = (deployment.people.clone(), deployment.node.address);
    let (star, others) = people.split_first().unwrap();
    // Others send to each other: a message would also notify its receiver of the change.
    let (subscribers, senders) = others.split_at(options.parked);
    let requests = sends_of(senders, &ring[1 + subscribers.len()..]);
    let waits = |spread| WaitConfig {
        timeout: USUAL,
        spread,
        short_waits: 0,
    };
    let mut own = WaitingDevices::new(to, waits(false));
    own.grow(std::slice::from_ref(star));
    sleep(Duration::from_secs(2)).await;
    let (ride, wake) = subscribers.split_at(subscribers.len() / 2);
    let mut devices = [(ride, false), (wake, true)].map(|(people, wakes)| {
        let mut devices = WaitingDevices::new(to, waits(true));
        devices.watch_presence(&star.id, wakes);
        devices.grow(people);
        devices
    });
    deployment.node.until_parked(1 + subscribers.len()).await;
    // Until the first waits have ended at their different times.
    sleep(Duration::from_secs(USUAL)).await;

    let time = Duration::from_secs(USUAL);
    let (mut calm, mut changed) = (Vec::new(), Vec::new());
    let mut until = [Vec::new(), Vec::new()];
    for round in 0..options.rounds {
        sleep(BETWEEN_CHANGES).await;
        calm.push(load(to, 8, time, Some(SENDS), &requests).await.ms(0.99));
        let availability = ["busy", "auto"][round % 2];
        devices.iter_mut().for_each(WaitingDevices::clear);
        let begun = Instant::now();
        set_status(to, star, availability).await;
        let [riding, waking] = &mut devices;
        let (sent, ridden, woken) = tokio::join!(
            load(to, 8, time, Some(SENDS), &requests),
            all_notified(riding, ride.len()),
            all_notified(waking, wake.len())
        );
        changed.push(sent.ms(0.99));
        for (until, last) in until.iter_mut().zip([ridden, woken]) {
            until.push((last - begun).as_secs_f64());
        }
    }
    drop((own, devices));
    deployment.node.until_parked(0).await;
    let script = script_cost(&deployment, senders).await;
    environment.clear(deployment).await;
    let [ridden, woken] = until;
    vec![
        Line {
            goal: Goal::AtMost(25.0, 25.0),
            ..Line::fact(
                16,
                "change of a person, until half of 18,000 subscribers have it with an answer",
                "s",
                ridden,
            )
        },
        Line {
            goal: Goal::AtMost(17.0, 17.0),
            ..Line::fact(16, "the same, as many that it wakes", "s", woken)
        },
        Line {
            reference: calm,
            goal: Goal::AtMost(1.2, 1.0),
            ..Line::fact(
                16,
                "sends of others meanwhile at 300/s, p99, against none",
                "ms",
                changed,
            )
        },
        Line {
            goal: Goal::AtMost(3.0, 2.0),
            ..Line::fact(16, "Redis' processor for a change", "µs", vec![script])
        },
    ]
}

/// When the last of so many devices was notified.
async fn all_notified(devices: &mut WaitingDevices, count: usize) -> Instant {
    let (mut last, mut notified) = (Instant::now(), HashSet::new());
    while notified.len() < count {
        let next = timeout(LATEST, devices.next()).await;
        let Ok(next) = next else {
            panic!("{} of {count} were notified", notified.len());
        };
        if notified.insert(next.who) {
            last = next.at;
        }
    }
    last
}

/// On a connection of its own: between two changes the server closes one.
async fn set_status(to: SocketAddr, person: &Person, availability: &str) {
    let mut connection = Connection::open(to).await.unwrap();
    let body = format!(r#"{{"availability":"{availability}"}}"#);
    let call = connection.call(Method::PUT, "/v1/me/status", Some(person), body);
    call.await.unwrap().ok(200);
}

/// The time of the script for one device that comes, in microseconds.
async fn script_cost(deployment: &Deployment, people: &[Person]) -> f64 {
    let redis = redis::Client::open(deployment.redis_url.as_str()).unwrap();
    let mut redis = redis.get_multiplexed_async_connection().await.unwrap();
    // The slow log is the only place with the time of one script.
    for (name, value) in [("slowlog-log-slower-than", 0), ("slowlog-max-len", 100_000)] {
        let set = redis::cmd("CONFIG")
            .arg("SET")
            .arg(name)
            .arg(value)
            .exec_async(&mut redis)
            .await;
        set.unwrap();
    }
    let config = WaitConfig {
        timeout: USUAL,
        spread: false,
        short_waits: 0,
    };
    let mut devices = WaitingDevices::new(deployment.node.address, config);
    devices.grow(people);
    deployment.node.until_parked(people.len()).await;
    sleep(Duration::from_secs(2)).await;
    let logged: Vec<LoggedCall> = redis::cmd("SLOWLOG")
        .arg("GET")
        .arg(-1)
        .query_async(&mut redis)
        .await
        .unwrap();
    let of_presence = logged.iter().filter(|(_, _, _, call, _, _)| {
        let key = call.get(3).map(|key| String::from_utf8_lossy(key));
        call[0] == b"EVALSHA" && key.is_some_and(|key| key.contains(":present:"))
    });
    let spent: u32 = of_presence.map(|(_, _, spent, _, _, _)| spent).sum();
    f64::from(spent) / people.len() as f64
}
