//! Row 8: the cost of a send with a large archive, against an archive of a hundredth of the size.

use super::sends_of;
use crate::Options;
use crate::deployment::{Deployment, Environment};
use crate::load::{RequestSource, load};
use crate::report::{Goal, Line};
use std::time::Duration;

pub async fn measure(environment: &Environment, options: &Options) -> Vec<Line> {
    let small = Archive::of(environment, options, "small", options.archived / 100).await;
    let large = Archive::of(environment, options, "large", options.archived).await;
    let sides = [&small, &large];
    let mut micros: [Vec<f64>; 2] = Default::default();
    let mut generator = Vec::new();
    for round in 0..=options.rounds {
        for turn in 0..2 {
            let side = (round + turn) % 2;
            let Archive {
                deployment,
                requests,
            } = sides[side];
            deployment.sql("CHECKPOINT").await;
            let address = deployment.node.address;
            let sent = load(address, options.clients, options.time(), None, requests).await;
            // The first round is the warm-up.
            if round > 0 {
                micros[side].push(1e6 / sent.rate());
                generator.push(sent.generator);
            }
        }
    }
    environment.clear(small.deployment).await;
    environment.clear(large.deployment).await;
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
    requests: RequestSource,
}

impl Archive {
    async fn of(environment: &Environment, options: &Options, name: &str, messages: usize) -> Self {
        let deployment = environment.deploy(name, options.users).await;
        let archive = include_str!("../archive.sql");
        let then = format!("\\set archived {}\n{archive}", messages.max(options.users));
        let ring = deployment.ring(&then).await;
        // Writes dirty pages to disk now, not during the measurement.
        deployment.sql("CHECKPOINT").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let requests = sends_of(&deployment.people, &ring);
        Self {
            deployment,
            requests,
        }
    }
}
