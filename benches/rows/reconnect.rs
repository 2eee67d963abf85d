//! Row 9: a node is lost, and all its devices come to the other one at once: until all are parked again. Sends go on.

use super::sends_of;
use crate::Options;
use crate::crowd::{BatchConfig, Crowd};
use crate::deployment::Ground;
use crate::load::load;
use crate::report::{Goal, Line};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const DEVICES: usize = 10_000;

/// Sends in a second meanwhile.
const PACE: f64 = 100.0;

pub async fn measure(ground: &Ground, options: &Options) -> Vec<Line> {
    let devices = DEVICES.min(options.users);
    let mut deployment = ground.deploy("storm", 2 * devices).await;
    let ring = deployment.ring("").await;
    // Those who send are not those who wait.
    let asks = sends_of(
        &deployment.people[devices..2 * devices - 1],
        &ring[devices..],
    );
    let waiting = &deployment.people[..devices];
    let (mut seconds, mut slowest, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let manner = BatchConfig {
            timeout: 55,
            spread: false,
            after: 0,
        };
        let mut crowd = Crowd::new(deployment.node.address, manner);
        crowd.grow(waiting);
        deployment.node.until_parked(devices).await;
        let other = deployment.another().await;
        let storm = async {
            sleep(Duration::from_secs(1)).await;
            let begun = Instant::now();
            crowd.move_to(other.address);
            deployment.node.kill();
            other.until_parked(devices).await;
            begun.elapsed().as_secs_f64()
        };
        let sends = load(other.address, 16, options.time(), Some(PACE), &asks);
        let (took, sent) = tokio::join!(storm, sends);
        seconds.push(took);
        slowest.push(sent.ms(1.0));
        refused.push(crowd.overloaded() as f64);
        drop(crowd);
        deployment.node = other;
    }
    ground.clear(deployment).await;
    vec![
        Line {
            goal: Goal::AtMost(3.0, 1.0),
            ..Line::fact(
                9,
                "devices of a lost node, until all are parked again",
                "s",
                seconds,
            )
        },
        Line::fact(9, "waits that were put off as overloaded", "", refused),
        Line::fact(9, "the slowest send meanwhile", "ms", slowest),
    ]
}
