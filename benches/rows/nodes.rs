//! Row 11: two nodes of one deployment against one, and what a notice costs that crosses from one to the other. All of it is
//! on one machine, so this says what a second node costs, and not what it gives.

use super::delivery::deliver;
use super::sends_of;
use crate::Options;
use crate::deployment::Ground;
use crate::load::{Asks, load};
use crate::report::{Goal, Line};
use std::sync::Arc;
use std::time::Duration;

const WARM_UP: Duration = Duration::from_secs(2);

pub async fn measure(ground: &Ground, options: &Options) -> Vec<Line> {
    let deployment = ground.deploy("nodes", options.users).await;
    let ring = deployment.ring("").await;
    let asks = sends_of(&deployment.people, &ring);
    let half = options.users / 2;
    let first = Arc::clone(&asks);
    // Each node has its half of the conversations first, so that they do not meet.
    let second: Asks = Arc::new(move |n| first(n + half));
    let other = deployment.another().await;
    let (one, two) = (deployment.node.address, other.address);
    let on_both = async |time| {
        let clients = options.clients / 2;
        let [a, b] = [(one, &asks), (two, &second)]
            .map(|(address, asks)| load(address, clients, time, None, asks));
        let (a, b) = tokio::join!(a, b);
        (a.answered + b.answered, a.rate() + b.rate())
    };
    let on_one = async |time| {
        let load = load(one, options.clients, time, None, &asks).await;
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
    ground.clear(deployment).await;
    let line = |what, unit, [reference, ours]: [Vec<f64>; 2]| Line {
        row: 11,
        what,
        unit,
        ours,
        reference,
        goal: Goal::None,
        generator: Vec::new(),
    };
    let across = deliver(ground, options, true).await.notices;
    let along = deliver(ground, options, false).await.notices;
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
