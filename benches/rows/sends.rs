//! Row 1: the highest rate of durable sends between two people, against the same transaction without batching. Also the cost of a
//! message, and the latency at several loads.

use super::sends_of;
use crate::Options;
use crate::deployment::{Deployment, Environment};
use crate::load::{Load, RequestSource, load};
use crate::plot;
use crate::reference::pgbench;
use crate::report::{Goal, Line};
use std::time::Duration;

/// Clients of pgbench. It is fastest with this number.
const REFERENCE_CLIENTS: usize = 32;

const WARM_UP: Duration = Duration::from_secs(2);

/// The offered loads, as shares of the highest rate.
const OFFERED: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1];

/// The costs of a message.
const COSTS: [(&str, &str); 5] = [
    ("node's processor for a message", "µs"),
    ("PostgreSQL's processor for a message", "µs"),
    ("PostgreSQL's log for a message", "bytes"),
    ("archive and its indexes for a message", "bytes"),
    ("inbox and its index for an entry", "bytes"),
];

pub async fn measure(environment: &Environment, options: &Options) -> Vec<Line> {
    let deployment = environment.deploy("sends", options.users).await;
    let ring = deployment.ring("").await;
    let requests = sends_of(&deployment.people, &ring);
    let mut bench = Bench {
        deployment,
        requests,
        clients: options.clients,
        stored: 0,
    };
    bench.reference(WARM_UP).await;
    bench.ours(WARM_UP).await;

    let (mut ours, mut reference, mut loads) = (Vec::new(), Vec::new(), Vec::new());
    let mut costs: [Vec<f64>; COSTS.len()] = Default::default();
    for round in 0..options.rounds {
        for turn in 0..2 {
            // The sides alternate in who is first.
            if (round + turn) % 2 == 0 {
                reference.push(bench.reference(options.time()).await);
            } else {
                let before = bench.spent().await;
                let load = bench.ours(options.time()).await;
                let after = bench.spent().await;
                for (cost, (after, before)) in costs.iter_mut().zip(after.iter().zip(before)) {
                    cost.push((after - before) / load.answered as f64);
                }
                ours.push(load.rate());
                loads.push(load);
            }
        }
    }
    bench.check().await;

    let of = |value: fn(&Load) -> f64| loads.iter().map(value).collect::<Vec<_>>();
    let mut lines = vec![
        Line {
            row: 1,
            what: "sends between two people",
            unit: "/s",
            reference,
            goal: Goal::AtLeast(3.5, 5.0),
            generator: of(|load| load.generator),
            ours,
        },
        Line::fact(1, "such a send, p50", "ms", of(|load| load.ms(0.5))),
        Line::fact(1, "such a send, p99", "ms", of(|load| load.ms(0.99))),
    ];
    let costs = COSTS.into_iter().zip(costs);
    lines.extend(costs.map(|((what, unit), cost)| Line::fact(1, what, unit, cost)));

    let mut rates = of(Load::rate);
    rates.sort_by(f64::total_cmp);
    let most = rates[rates.len() / 2];
    let mut points = Vec::new();
    for share in OFFERED {
        let offered = most * share;
        // More connections than are busy at a time, so that they do not limit the offered load.
        let load = bench
            .offered(4 * options.clients, options.time(), Some(offered))
            .await;
        points.push(plot::Point {
            offered,
            answered: load.rate(),
            p99_ms: load.ms(0.99),
        });
    }
    bench.check().await;
    plot::write(&points);
    environment.clear(bench.deployment).await;
    lines
}

struct Bench {
    deployment: Deployment,
    requests: RequestSource,
    clients: usize,
    /// Messages that both sides have stored.
    stored: usize,
}

impl Bench {
    async fn ours(&mut self, time: Duration) -> Load {
        self.deployment.sql("CHECKPOINT").await;
        self.offered(self.clients, time, None).await
    }

    async fn offered(&mut self, clients: usize, time: Duration, rate: Option<f64>) -> Load {
        let address = self.deployment.node.address;
        let load = load(address, clients, time, rate, &self.requests).await;
        self.stored += load.answered;
        load
    }

    async fn reference(&mut self, time: Duration) -> f64 {
        let clients = REFERENCE_CLIENTS.min(self.clients);
        let done = pgbench(&self.deployment, "send.sql", clients, time).await;
        self.stored += done.transactions;
        done.rate
    }

    /// The total costs of the messages until now, in the order and units of [`COSTS`].
    async fn spent(&self) -> [f64; COSTS.len()] {
        let of = |table: &str| {
            format!("SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('{table}')")
        };
        let on = &self.deployment;
        let wal = "SELECT pg_current_wal_insert_lsn() - '0/0'";
        [
            on.node.cpu() * 1e6,
            on.postgres_cpu().await * 1e6,
            on.number(wal).await,
            on.number(&of("messages")).await,
            // Each message is in two inboxes.
            on.number(&of("inbox")).await / 2.0,
        ]
    }

    /// Checks that each acknowledged message is stored once, with two inbox entries.
    async fn check(&self) {
        let found = self.deployment.sql(
            "SELECT (SELECT count(*) FROM messages), (SELECT sum(last_seq) FROM conversations),
                (SELECT count(*) FROM inbox WHERE kind = 'message') / 2.0, (SELECT sum(last_seq) FROM timelines) / 2.0",
        );
        for count in found.await.split('|') {
            assert_eq!(count.parse::<f64>().unwrap(), self.stored as f64);
        }
    }
}
