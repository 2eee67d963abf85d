//! Row 15: what waits and sends cost with presence on, when nobody asks for it, against presence off. Row 16: a change of one person
//! with 18,000 subscribers: until all are notified, the cost for Redis, and the sends of others meanwhile.

use super::{parked, sends_of};
use crate::Options;
use crate::client::{Connection, Person};
use crate::deployment::{Deployment, Environment, run};
use crate::devices::{WaitConfig, WaitingDevices};
use crate::load::load;
use crate::report::{Goal, Line};
use hyper::Method;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::process::Command;
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
        devices.iter_mut().for_each(WaitingDevices::clear);
        calm.push(load(to, 8, time, Some(SENDS), &requests).await.ms(0.99));
        let availability = ["busy", "auto"][round % 2];
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
    let script = script_cost(&deployment, others).await;
    drop((own, devices));
    environment.clear(deployment).await;
    let [ridden, woken] = until;
    vec![
        Line {
            goal: Goal::AtMost(25.0, 25.0),
            ..Line::fact(
                16,
                "change of a person, until 9,000 subscribers have it with an answer",
                "s",
                ridden,
            )
        },
        Line {
            goal: Goal::AtMost(17.0, 17.0),
            ..Line::fact(16, "the same, 9,000 that it wakes", "s", woken)
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
    let mut last = Instant::now();
    for _ in 0..count {
        let next = timeout(LATEST, devices.next()).await;
        last = last.max(next.unwrap().at);
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
    let before = spent(deployment).await;
    let config = WaitConfig {
        timeout: USUAL,
        spread: false,
        short_waits: 0,
    };
    let mut devices = WaitingDevices::new(deployment.node.address, config);
    devices.grow(people);
    deployment.node.until_parked(people.len()).await;
    sleep(Duration::from_secs(2)).await;
    (spent(deployment).await - before) / people.len() as f64
}

/// The time of all scripts until now, in microseconds.
async fn spent(deployment: &Deployment) -> f64 {
    let info = ["-u", &deployment.redis_url, "INFO", "commandstats"];
    let stats = run(Command::new("redis-cli").args(info), "").await;
    let scripts = stats
        .lines()
        .find(|line| line.starts_with("cmdstat_evalsha:"));
    let usec = scripts.and_then(|line| line.split("usec=").nth(1));
    let usec = usec.and_then(|rest| rest.split(',').next());
    usec.map_or(0.0, |usec| usec.parse().unwrap())
}
