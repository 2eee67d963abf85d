//! Row 9: after the loss of a node, the time until all its devices are parked on the other node. Sends continue meanwhile.

use super::sends_of;
use crate::Options;
use crate::deployment::Environment;
use crate::devices::{WaitConfig, WaitingDevices};
use crate::load::load;
use crate::report::{Goal, Line};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const DEVICES: usize = 10_000;

/// Sends per second meanwhile.
const PACE: f64 = 100.0;

pub async fn measure(environment: &Environment, options: &Options) -> Vec<Line> {
    let count = DEVICES.min(options.users);
    let mut deployment = environment.deploy("storm", 2 * count).await;
    let ring = deployment.ring("").await;
    // The senders are not the waiting people.
    let requests = sends_of(&deployment.people[count..2 * count - 1], &ring[count..]);
    let waiting = &deployment.people[..count];
    let (mut seconds, mut slowest, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let config = WaitConfig {
            timeout: 55,
            spread: false,
            short_waits: 0,
        };
        let mut devices = WaitingDevices::new(deployment.node.address, config);
        devices.grow(waiting);
        deployment.node.until_parked(count).await;
        let other = deployment.another().await;
        let storm = async {
            sleep(Duration::from_secs(1)).await;
            let begun = Instant::now();
            devices.move_to(other.address);
            deployment.node.kill();
            other.until_parked(count).await;
            begun.elapsed().as_secs_f64()
        };
        let sends = load(other.address, 16, options.time(), Some(PACE), &requests);
        let (took, sent) = tokio::join!(storm, sends);
        seconds.push(took);
        slowest.push(sent.ms(1.0));
        refused.push(devices.overloaded() as f64);
        drop(devices);
        deployment.node = other;
    }
    environment.clear(deployment).await;
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
        Line::fact(9, "waits that were refused as overloaded", "", refused),
        Line::fact(9, "the slowest send meanwhile", "ms", slowest),
    ]
}
