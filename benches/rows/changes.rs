//! Row 12: edits, and pages of changes, against sends and against pages of history. Row 13: what sends and fetches cost when 5 % of
//! the messages have changed.

use super::sends_of;
use crate::Options;
use crate::client::Person;
use crate::deployment::{Deployment, Environment};
use crate::load::{Load, PlannedRequest, RequestSource, load};
use crate::report::{Goal, Line};
use crate::rows::fetch;
use hyper::Method;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Messages of each conversation after `fill.sql`.
const MESSAGES: usize = 20;

/// Users whose conversations have a hundred changed messages.
const CHANGED_USERS: usize = 500;

/// A side of a comparison: the requests, and the node that gets them.
struct Side<'a> {
    on: &'a Deployment,
    requests: RequestSource,
}

/// Measures two sides in turn.
async fn in_turn(options: &Options, clients: usize, sides: [Side<'_>; 2]) -> [Vec<Load>; 2] {
    let run = async |side: &Side, time| {
        load(side.on.node.address, clients, time, None, &side.requests).await
    };
    for side in &sides {
        run(side, Duration::from_secs(1)).await;
    }
    let mut loads: [Vec<Load>; 2] = Default::default();
    for round in 0..options.rounds {
        for turn in 0..2 {
            let side = (round + turn) % 2;
            loads[side].push(run(&sides[side], options.time()).await);
        }
    }
    loads
}

fn line(row: u8, what: &'static str, goal: Goal, loads: &[Vec<Load>; 2]) -> Line {
    let of = |side: usize, value: fn(&Load) -> f64| loads[side].iter().map(value).collect();
    Line {
        row,
        what,
        unit: "/s",
        ours: of(1, Load::rate),
        reference: of(0, Load::rate),
        goal,
        generator: of(1, |load| load.generator),
    }
}

/// Each request edits another message. A message gets its next version when all have got the one before.
fn edits(people: &[Person], ring: &[String]) -> RequestSource {
    let pairs: Vec<_> = people.iter().cloned().zip(ring.iter().cloned()).collect();
    let next = AtomicUsize::new(0);
    Arc::new(move |_| {
        let n = next.fetch_add(1, Ordering::Relaxed);
        let (person, conversation) = &pairs[n % pairs.len()];
        let seq = 1 + n / pairs.len() % MESSAGES;
        let version = 1 + n / (pairs.len() * MESSAGES);
        let text = format!("sixty other characters of small talk, as people send, {n}");
        PlannedRequest {
            method: Method::PATCH,
            path: format!("/v1/conversations/{conversation}/messages/{seq}"),
            person: person.clone(),
            body: format!(r#"{{"version":{version},"content":{{"text":"{text}"}}}}"#),
            status: 200,
            must_contain: text,
        }
    })
}

/// Pages of a hundred messages.
fn pages(people: &[Person], ring: &[String], query: &'static str) -> RequestSource {
    let pairs: Vec<_> = people.iter().cloned().zip(ring.iter().cloned()).collect();
    Arc::new(move |n| {
        let (person, conversation) = &pairs[n % pairs.len()];
        PlannedRequest {
            method: Method::GET,
            path: format!("/v1/conversations/{conversation}/messages?{query}&limit=100"),
            person: person.clone(),
            body: String::new(),
            status: 200,
            must_contain: r#""change_seq":100,"version":2,"#.to_owned(),
        }
    })
}

/// Row 12.
pub async fn measure(environment: &Environment, options: &Options) -> Vec<Line> {
    // A message is edited at most once in a second, so there are more messages than edits in a second.
    let users = options.users.max(CHANGED_USERS);
    let deployment = environment.deploy("edits", users).await;
    let on = &deployment;
    let ring = on.ring(include_str!("../fill.sql")).await;
    let sides = [sends_of(&on.people, &ring), edits(&on.people, &ring)];
    let sides = sides.map(|requests| Side { on, requests });
    let changes = in_turn(options, options.clients, sides).await;

    environment.clear(deployment).await;

    let short = environment.deploy("changes", CHANGED_USERS).await;
    let ring = short.ring(include_str!("../page.sql")).await;
    let sides = ["since_seq=0", "changed_since=0"].map(|query| Side {
        on: &short,
        requests: pages(&short.people, &ring, query),
    });
    let read = in_turn(options, 8, sides).await;
    environment.clear(short).await;
    vec![
        line(
            12,
            "edits, against sends",
            Goal::AtLeast(0.8, 0.95),
            &changes,
        ),
        line(
            12,
            "changed_since of 100, against history",
            Goal::AtLeast(0.8, 0.95),
            &read,
        ),
    ]
}

/// Row 13.
pub async fn unchanged(environment: &Environment, options: &Options) -> Vec<Line> {
    let plain = environment.deploy("unchanged", options.users).await;
    let changed = environment.deploy("changed", options.users).await;
    let ring = plain.ring(include_str!("../fill.sql")).await;
    let script = concat!(include_str!("../fill.sql"), include_str!("../changed.sql"));
    changed.ring(script).await;
    let fetches = in_turn(
        options,
        fetch::CLIENTS,
        [&plain, &changed].map(|on| Side {
            on,
            requests: fetch::requests(&on.people),
        }),
    )
    .await;
    let sends = in_turn(
        options,
        options.clients,
        [&plain, &changed].map(|on| Side {
            on,
            requests: sends_of(&on.people, &ring),
        }),
    )
    .await;
    environment.clear(plain).await;
    environment.clear(changed).await;
    vec![
        line(
            13,
            "fetches when 5 % have changed, against none",
            Goal::AtLeast(0.97, 1.0),
            &fetches,
        ),
        line(
            13,
            "sends when 5 % have changed, against none",
            Goal::AtLeast(0.97, 1.0),
            &sends,
        ),
    ]
}
