//! Row 3: fetches of a page of 20 new messages from an inbox, against the same join in plain SQL.

use crate::Options;
use crate::client::Person;
use crate::deployment::Environment;
use crate::load::{Load, PlannedRequest, RequestSource, load};
use crate::reference::pgbench;
use crate::report::{Goal, Line};
use hyper::Method;
use rand::RngExt;
use std::sync::Arc;
use std::time::Duration;

pub const CLIENTS: usize = 16;
const REFERENCE_CLIENTS: usize = 8;

pub async fn measure(environment: &Environment, options: &Options) -> Vec<Line> {
    let deployment = environment.deploy("fetches", options.users).await;
    deployment.ring(include_str!("../fill.sql")).await;
    let requests = requests(&deployment.people);
    let address = deployment.node.address;
    let ours = async |time| load(address, CLIENTS, time, None, &requests).await;
    let theirs = async |time| pgbench(&deployment, "fetch.sql", REFERENCE_CLIENTS, time).await;
    ours(Duration::from_secs(1)).await;
    theirs(Duration::from_secs(1)).await;

    let (mut loads, mut reference) = (Vec::new(), Vec::new());
    for round in 0..options.rounds {
        for turn in 0..2 {
            if (round + turn) % 2 == 0 {
                reference.push(theirs(options.time()).await.rate);
            } else {
                loads.push(ours(options.time()).await);
            }
        }
    }
    environment.clear(deployment).await;
    let of = |value: fn(&Load) -> f64| loads.iter().map(value).collect::<Vec<_>>();
    vec![
        Line {
            row: 3,
            what: "fetches of 20 new messages",
            unit: "/s",
            ours: of(Load::rate),
            reference,
            goal: Goal::AtLeast(0.6, 0.9),
            generator: of(|load| load.generator),
        },
        Line::fact(3, "such a fetch, p99", "ms", of(|load| load.ms(0.99))),
    ]
}

/// Each fetches a page of 20 after `fill.sql`.
pub fn requests(people: &[Person]) -> RequestSource {
    let people = people.to_vec();
    Arc::new(move |_| {
        let mut rng = rand::rng();
        let since = rng.random_range(0..=20);
        PlannedRequest {
            method: Method::GET,
            path: format!("/v1/inbox?since_seq={since}&limit=20"),
            person: people[rng.random_range(0..people.len())].clone(),
            body: String::new(),
            status: 200,
            must_contain: format!(r#""next_since_seq":{},"last_seq":40,"#, since + 20),
        }
    })
}
