//! Row 4: what a parked notice takes of the node's memory, as the slope over three sizes of a crowd, at the first and at the
//! tenth poll of a connection. Row 5: what a parked crowd takes of a core when nothing happens.

use crate::Options;
use crate::crowd::{BatchConfig, Crowd};
use crate::deployment::{Deployment, Ground, cpu};
use crate::report::{Goal, Line};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The sizes, as shares of the largest.
const SIZES: [f64; 3] = [1.0 / 9.0, 5.0 / 9.0, 1.0];

/// As long as one may wait, so that nobody waits again meanwhile.
const LONG: u64 = 55;

/// As long as clients wait when they do not say.
const USUAL: u64 = 25;

pub async fn memory(ground: &Ground, options: &Options) -> Vec<Line> {
    let mut deployment = ground.deploy("parked", options.parked).await;
    let mut lines = Vec::new();
    for (what, after) in [
        ("memory of a parked notice", 0),
        ("memory of a notice at the tenth poll", 9),
    ] {
        let mut rounds = Vec::new();
        for _ in 0..options.rounds {
            // What an allocator keeps of a round before would be missing in this one.
            deployment.restart().await;
            rounds.push(slope(&deployment, after).await);
        }
        lines.push(Line {
            goal: Goal::AtMost(4.0, 2.0),
            ..Line::fact(4, what, "KiB", rounds)
        });
    }
    ground.clear(deployment).await;
    lines
}

/// By least squares.
async fn slope(deployment: &Deployment, after: usize) -> f64 {
    let manner = BatchConfig {
        timeout: LONG,
        spread: false,
        after,
    };
    let mut crowd = Crowd::new(deployment.node.address, manner);
    let mut points = Vec::new();
    for share in SIZES {
        let size = (deployment.people.len() as f64 * share).round() as usize;
        crowd.grow(&deployment.people[..size]);
        while crowd.polls() < size * (after + 1) {
            sleep(Duration::from_millis(10)).await;
        }
        deployment.node.until_parked(size).await;
        // What was freed meanwhile has gone back.
        sleep(Duration::from_secs(2)).await;
        points.push((size as f64, deployment.node.status("RssAnon:")));
    }
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / 3.0;
    let (x, y) = (mean(|it| it.0), mean(|it| it.1));
    let sum = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>();
    sum(&|it| (it.0 - x) * (it.1 - y)) / sum(&|it| (it.0 - x).powi(2))
}

pub async fn processor(ground: &Ground, options: &Options) -> Vec<Line> {
    let deployment = ground.deploy("idle", options.parked).await;
    let mut lines = Vec::new();
    for (what, timeout) in [
        ("processor of a parked crowd", LONG),
        ("the same, waiting again every 25 s", USUAL),
    ] {
        let (mut shares, mut generator) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            let manner = BatchConfig {
                timeout,
                spread: timeout == USUAL,
                after: 0,
            };
            let mut crowd = Crowd::new(deployment.node.address, manner);
            crowd.grow(&deployment.people);
            deployment.node.until_parked(options.parked).await;
            // The last of the parking: unsubscribing, garbage; and everybody's first count.
            sleep(Duration::from_secs(2)).await;
            while timeout == USUAL && crowd.polls() < 2 * options.parked {
                sleep(Duration::from_millis(100)).await;
            }
            let polls = crowd.polls();
            let (begun, ours) = (Instant::now(), cpu("self").unwrap());
            let before = deployment.node.cpu();
            sleep(2 * options.time()).await;
            let seconds = begun.elapsed().as_secs_f64();
            shares.push(100.0 * (deployment.node.cpu() - before) / seconds);
            generator.push((cpu("self").unwrap() - ours) / seconds);
            assert!(timeout == USUAL || crowd.polls() == polls, "they woke");
            drop(crowd);
            deployment.node.until_parked(0).await;
        }
        lines.push(Line {
            goal: Goal::AtMost(5.0, 1.0),
            generator,
            ..Line::fact(5, what, "% of a core", shares)
        });
    }
    ground.clear(deployment).await;
    lines
}
