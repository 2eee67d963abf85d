//! Row 11: two nodes of one deployment against one, and the delay of notices between nodes. Both nodes run on one machine, so the
//! row shows the cost of a second node, not its benefit.

use super::delivery::deliver;
use super::sends_of;
use crate::Options;
use crate::deployment::Environment;
use crate::load::{RequestSource, load};
use crate::report::{Goal, Line};
use std::sync::Arc;
use std::time::Duration;

const WARM_UP: Duration = Duration::from_secs(2);

pub async fn measure(environment: &Environment, options: &Options) -> Vec<Line> {
    let deployment = environment.deploy("nodes", options.users).await;
    let ring = deployment.ring("").await;
    let requests = sends_of(&deployment.people, &ring);
    let half = options.users / 2;
    let first = Arc::clone(&requests);
    // Each node starts with its own half of the conversations, so that they do not lock the same rows.
    let second: RequestSource = Arc::new(move |n| first(n + half));
    let other = deployment.another().await;
    let (one, two) = (deployment.node.address, other.address);
    let on_both = async |time| {
        let clients = options.clients / 2;
        let [a, b] = [(one, &requests), (two, &second)]
            .map(|(address, requests)| load(address, clients, time, None, requests));
        let (a, b) = tokio::join!(a, b);
        (a.answered + b.answered, a.rate() + b.rate())
    };
    let on_one = async |time| {
        let load = load(one, options.clients, time, None, &requests).await;
        (load.answered, load.rate())
    };
    on_both(WARM_UP).await;
    let mut rates: [Vec<f64>; 2] = Default::default();
    let mut micros: [Vec<f64>; 2] = Default::default();
    for round in 0..options.rounds {
        for turn in 0..2 {
            let nodes = (round + turn) % 2;
            deployment.sql("CHECKPOINT").await;
            let before = deployment.node.cpu() + other.cpu();
            let (answered, rate) = match nodes {
                0 => on_one(options.time()).await,
                _ => on_both(options.time()).await,
            };
            let spent = deployment.node.cpu() + other.cpu() - before;
            rates[nodes].push(rate);
            micros[nodes].push(1e6 * spent / answered as f64);
        }
    }
    other.stop().await;
    environment.clear(deployment).await;
    let line = |what, unit, [reference, ours]: [Vec<f64>; 2]| Line {
        row: 11,
        what,
        unit,
        ours,
        reference,
        goal: Goal::None,
        generator: Vec::new(),
    };
    let across = deliver(environment, options, true).await.notices;
    let along = deliver(environment, options, false).await.notices;
    let [[p50, _], [p99, _]] = across;
    let [[p50_of_one, _], [p99_of_one, _]] = along;
    vec![
        line("sends to two nodes, and to one", "/s", rates),
        line("nodes' processor for such a message", "µs", micros),
        line(
            "to a notice of the other node, p50",
            "ms",
            [p50_of_one, p50],
        ),
        line(
            "to a notice of the other node, p99",
            "ms",
            [p99_of_one, p99],
        ),
    ]
}
