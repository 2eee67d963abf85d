//! Row 4: the node's memory for a parked wait, as the slope over three numbers of devices, at the first and at the tenth wait of a
//! connection. Row 5: the share of a core that parked waits use without news.

use crate::Options;
use crate::deployment::{Deployment, Environment, cpu};
use crate::devices::{WaitConfig, WaitingDevices};
use crate::report::{Goal, Line};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The numbers of devices, as shares of the largest.
const SIZES: [f64; 3] = [1.0 / 9.0, 5.0 / 9.0, 1.0];

/// The longest timeout, so that no device waits again during the measurement.
const LONG: u64 = 55;

/// The default timeout.
const USUAL: u64 = 25;

pub async fn memory(environment: &Environment, options: &Options) -> Vec<Line> {
    let mut deployment = environment.deploy("parked", options.parked).await;
    let mut lines = Vec::new();
    for (what, short_waits) in [
        ("memory of a parked wait", 0),
        ("memory of a wait at the tenth poll", 9),
    ] {
        let mut rounds = Vec::new();
        for _ in 0..options.rounds {
            // A new process, because memory that the allocator retains would falsify the next round.
            deployment.restart().await;
            rounds.push(slope(&deployment, short_waits).await);
        }
        lines.push(Line {
            goal: Goal::AtMost(4.0, 2.0),
            ..Line::fact(4, what, "KiB", rounds)
        });
    }
    environment.clear(deployment).await;
    lines
}

/// The memory per wait in KiB, by least squares.
pub async fn slope(deployment: &Deployment, short_waits: usize) -> f64 {
    let config = WaitConfig {
        timeout: LONG,
        spread: false,
        short_waits,
    };
    let mut devices = WaitingDevices::new(deployment.node.address, config);
    let mut points = Vec::new();
    for share in SIZES {
        let size = (deployment.people.len() as f64 * share).round() as usize;
        devices.grow(&deployment.people[..size]);
        while devices.polls() < size * (short_waits + 1) {
            sleep(Duration::from_millis(10)).await;
        }
        deployment.node.until_parked(size).await;
        // Time for the allocator to return freed memory.
        sleep(Duration::from_secs(2)).await;
        points.push((size as f64, deployment.node.status("RssAnon:")));
    }
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / 3.0;
    let (x, y) = (mean(|it| it.0), mean(|it| it.1));
    let sum = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>();
    sum(&|it| (it.0 - x) * (it.1 - y)) / sum(&|it| (it.0 - x).powi(2))
}

pub async fn processor(environment: &Environment, options: &Options) -> Vec<Line> {
    let deployment = environment.deploy("idle", options.parked).await;
    let mut lines = Vec::new();
    for (what, timeout) in [
        ("processor of parked waits", LONG),
        ("the same, waiting again every 25 s", USUAL),
    ] {
        let (mut shares, mut generator) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            let config = WaitConfig {
                timeout,
                spread: timeout == USUAL,
                short_waits: 0,
            };
            let mut devices = WaitingDevices::new(deployment.node.address, config);
            devices.grow(&deployment.people);
            deployment.node.until_parked(options.parked).await;
            // Time for the end of the parking: unsubscribes, freed memory, first unread counts.
            sleep(Duration::from_secs(2)).await;
            while timeout == USUAL && devices.polls() < 2 * options.parked {
                sleep(Duration::from_millis(100)).await;
            }
            let polls = devices.polls();
            let (begun, ours) = (Instant::now(), cpu("self").unwrap());
            let before = deployment.node.cpu();
            sleep(2 * options.time()).await;
            let seconds = begun.elapsed().as_secs_f64();
            shares.push(100.0 * (deployment.node.cpu() - before) / seconds);
            generator.push((cpu("self").unwrap() - ours) / seconds);
            assert!(timeout == USUAL || devices.polls() == polls, "a wait ended");
            drop(devices);
            deployment.node.until_parked(0).await;
        }
        lines.push(Line {
            goal: Goal::AtMost(5.0, 1.0),
            generator,
            ..Line::fact(5, what, "% of a core", shares)
        });
    }
    environment.clear(deployment).await;
    lines
}
