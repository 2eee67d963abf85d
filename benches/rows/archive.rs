//! Row 8: what a send costs when a great deal is archived, against a hundredth of it.

use super::sends_of;
use crate::Options;
use crate::deployment::{Deployment, Ground};
use crate::load::{Asks, load};
use crate::report::{Goal, Line};
use std::time::Duration;

pub async fn measure(ground: &Ground, options: &Options) -> Vec<Line> {
    let small = Archive::of(ground, options, "small", options.archived / 100).await;
    let large = Archive::of(ground, options, "large", options.archived).await;
    let sides = [&small, &large];
    let mut micros: [Vec<f64>; 2] = Default::default();
    let mut generator = Vec::new();
    for round in 0..=options.rounds {
        for turn in 0..2 {
            let side = (round + turn) % 2;
            let Archive { deployment, asks } = sides[side];
            deployment.sql("CHECKPOINT").await;
            let address = deployment.node.address;
            let sent = load(address, options.clients, options.time(), None, asks).await;
            // The first round warms up.
            if round > 0 {
                micros[side].push(1e6 / sent.rate());
                generator.push(sent.generator);
            }
        }
    }
    ground.clear(small.deployment).await;
    ground.clear(large.deployment).await;
    let [reference, ours] = micros;
    vec![Line {
        row: 8,
        what: "a send over a large archive, and over a hundredth",
        unit: "µs",
        ours,
        reference,
        goal: Goal::AtMost(1.2, 1.05),
        generator,
    }]
}

struct Archive {
    deployment: Deployment,
    asks: Asks,
}

impl Archive {
    async fn of(ground: &Ground, options: &Options, name: &str, messages: usize) -> Self {
        let deployment = ground.deploy(name, options.users).await;
        let archive = include_str!("../archive.sql");
        let then = format!("\\set archived {}\n{archive}", messages.max(options.users));
        let ring = deployment.ring(&then).await;
        // What was just written goes to disk now, and not while somebody is measured.
        deployment.sql("CHECKPOINT").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let asks = sends_of(&deployment.people, &ring);
        Self { deployment, asks }
    }
}
