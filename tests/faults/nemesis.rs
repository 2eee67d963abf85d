//! The faults, by name. Each one breaks something, waits, heals it, and records when.

use crate::clients;
use crate::deployment::Deployment;
use crate::environment;
use crate::history::Micros;
use crate::support::{Cluster, eventually, execute, http};
use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const FAULTS: &[&str] = &[
    "node-killed",
    "node-stopped",
    "nodes-stutter",
    "rolling-restart",
    "postgres-killed",
    "postgres-stopped",
    "postgres-stutters",
    "postgres-cut",
    "postgres-full",
    "postgres-failover",
    "postgres-vanished",
    "standby-stopped",
    "disk-full",
    "commits-lost",
    "redis-killed",
    "redis-flushed",
    "redis-stopped",
    "redis-cut",
    "cluster-failover",
    "answers-lost",
    "rows-locked",
    "slow-clients",
    "clock-ahead",
    "clock-behind",
    "one-node-left",
    "backup-restored",
    "node-killed+redis-stopped",
    "postgres-killed+answers-lost",
];

/// The drain time, plus some for a busy machine: a node that got SIGTERM has ended by then.
const DRAIN: Duration = Duration::from_secs(7);

/// After the primary's host has vanished, nodes may fail for this long: requests that they had sent or waited for must time
/// out. The checker allows two seconds more for new requests, so nodes must send again after 12 s.
const VANISHED: Duration = Duration::from_secs(10);

struct Nemesis<'a> {
    deployment: &'a Deployment,
    seed: u64,
    rng: StdRng,
    until: Instant,
}

/// Runs faults for about this long, two at a time when two are named ("a+b"). Everything is healed when it returns. Each fault
/// has its own thread, since killing and starting servers blocks and must not hold the load up.
pub async fn strike(deployment: &Arc<Deployment>, faults: &str, seed: u64, time: Duration) {
    let strikes = faults.split('+').enumerate().map(|(n, fault)| {
        let (deployment, fault) = (Arc::clone(deployment), fault.to_owned());
        tokio::task::spawn_blocking(move || {
            let nemesis = Nemesis {
                deployment: &deployment,
                seed,
                rng: StdRng::seed_from_u64(seed ^ ((n as u64 + 1) << 32)),
                until: Instant::now() + time,
            };
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().unwrap();
            runtime.block_on(nemesis.strike(&fault));
        })
    });
    for strike in join_all(strikes).await {
        strike.unwrap();
    }
}

impl Nemesis<'_> {
    async fn strike(mut self, fault: &str) {
        let environment = &self.deployment.environment;
        let services = &environment.services;
        let node = self.rng.random_range(0..2);
        match fault {
            "calm" => self.hold().await,
            "node-killed" => self.kill_nodes().await,
            "node-stopped" => {
                let from = self.now();
                self.signal(node, "STOP");
                self.hold().await;
                self.signal(node, "CONT");
                self.window(fault, Some(node), from);
            }
            "nodes-stutter" => {
                while Instant::now() < self.until {
                    let (node, from) = (self.rng.random_range(0..2), self.now());
                    self.signal(node, "STOP");
                    self.pause(50..2_500).await;
                    self.signal(node, "CONT");
                    self.window(fault, Some(node), from);
                    self.pause(20..400).await;
                }
            }
            "rolling-restart" => {
                for node in [node, 1 - node] {
                    self.restart_politely(node).await;
                    self.pause(500..1_500).await;
                }
            }
            "postgres-killed" => {
                self.again_and_again(fault, 2_500..4_000, async |it| {
                    services.kill_postgres();
                    it.pause(300..1_500).await;
                    services.start_postgres().unwrap();
                })
                .await;
            }
            "postgres-stopped" => {
                let from = self.now();
                services.pause_postgres();
                self.hold().await;
                services.resume_postgres();
                self.window(fault, None, from);
            }
            "postgres-stutters" => {
                self.again_and_again(fault, 20..400, async |it| {
                    services.pause_postgres();
                    it.pause(50..2_500).await;
                    services.resume_postgres();
                })
                .await;
            }
            // The commit succeeds, and the node does not get the answer.
            "commits-lost" => {
                self.again_and_again(fault, 50..1_000, async |it| {
                    let chosen = it.rng.random_range(0..3);
                    it.each(chosen, |node| node.postgres.hold_answers());
                    it.pause(5..300).await;
                    it.each(chosen, |node| node.postgres.cut());
                    it.pause(5..100).await;
                    it.each(chosen, |node| node.postgres.heal());
                })
                .await;
            }
            "postgres-cut" => {
                self.again_and_again(fault, 1_000..3_000, async |it| {
                    let chosen = it.rng.random_range(0..3);
                    it.each(chosen, |node| node.postgres.cut());
                    it.pause(10..1_500).await;
                    it.each(chosen, |node| node.postgres.heal());
                })
                .await;
            }
            "postgres-full" => self.use_up_connections().await,
            "postgres-failover" => {
                let from = self.now();
                // It is dead, or it no longer answers and is killed.
                if self.rng.random_bool(0.5) {
                    services.pause_postgres();
                    self.pause(500..2_000).await;
                }
                services.kill_postgres();
                self.pause(10..1_500).await;
                environment.promote();
                self.window(fault, None, from);
                self.hold().await;
            }
            // Connections are neither closed nor refused.
            "postgres-vanished" => {
                let (from, vanished) = (self.now(), Instant::now());
                environment.host.as_ref().unwrap().vanish();
                self.pause(10..1_500).await;
                environment.promote();
                tokio::time::sleep_until((vanished + VANISHED).into()).await;
                self.window(fault, None, from);
                self.hold().await;
            }
            "standby-stopped" => {
                let (from, standby) = (self.now(), environment.standby.as_ref().unwrap());
                standby.pause();
                self.hold().await;
                standby.resume();
                self.window(fault, None, from);
            }
            "disk-full" => {
                self.again_and_again(fault, 1_500..3_000, async |it| {
                    environment.fill_disk(it.rng.random_bool(0.5));
                    if it.rng.random_bool(0.5) {
                        it.use_up_log();
                    }
                    it.pause(1_500..4_000).await;
                    environment.free_disk();
                })
                .await;
            }
            "redis-killed" => {
                self.again_and_again(fault, 1_500..3_000, async |it| {
                    services.kill_redis();
                    it.pause(10..1_500).await;
                    services.start_redis().unwrap();
                })
                .await;
            }
            "redis-flushed" => {
                let client = redis::Client::open(services.redis_url()).unwrap();
                self.again_and_again(fault, 100..1_200, async |_| {
                    let mut redis = client.get_connection().unwrap();
                    let _: () = redis::cmd("FLUSHALL").query(&mut redis).unwrap();
                })
                .await;
            }
            "redis-stopped" => {
                let from = self.now();
                services.pause_redis();
                self.hold().await;
                services.resume_redis();
                self.window(fault, None, from);
            }
            "redis-cut" => {
                self.again_and_again(fault, 500..2_000, async |it| {
                    let chosen = it.rng.random_range(0..3);
                    it.each(chosen, |node| node.redis.cut());
                    it.pause(10..3_000).await;
                    it.each(chosen, |node| node.redis.heal());
                })
                .await;
            }
            // A replica takes over, or the master is back before that, without its data.
            "cluster-failover" => {
                let cluster = self.deployment.environment.cluster.as_ref().unwrap();
                self.again_and_again(fault, 1_500..3_000, async |it| {
                    let masters = cluster.masters();
                    let killed = masters[it.rng.random_range(0..masters.len())];
                    cluster.kill(killed);
                    it.pause(300..6_000).await;
                    cluster.restart(killed);
                    cluster.until("all is well", Cluster::is_well);
                })
                .await;
            }
            "answers-lost" => self.lose_answers().await,
            "rows-locked" => self.lock_rows().await,
            "slow-clients" => clients::connect_slow(self.deployment, self.until).await,
            "clock-ahead" | "clock-behind" => {
                self.verify_clock(environment::turned(self.seed)).await;
                self.hold().await;
            }
            "backup-restored" => {
                let from = self.now();
                let backup = environment.back_up();
                self.pause(500..2_500).await;
                self.deployment.restore(&backup, from).await;
                for node in [None, Some(0), Some(1)] {
                    self.window(fault, node, from);
                }
                self.hold().await;
            }
            "one-node-left" => self.break_everything(node).await,
            unknown => panic!("there is no fault {unknown}; there are {FAULTS:?}"),
        }
    }

    fn now(&self) -> Micros {
        self.deployment.recorder.now()
    }

    fn window(&self, what: &str, node: Option<usize>, from: Micros) {
        self.deployment.recorder.window(what, node, from);
    }

    async fn hold(&self) {
        tokio::time::sleep_until(self.until.into()).await;
    }

    async fn pause(&mut self, milliseconds: std::ops::Range<u64>) {
        let time = self.rng.random_range(milliseconds);
        tokio::time::sleep(Duration::from_millis(time)).await;
    }

    fn signal(&self, node: usize, name: &str) {
        let node = self.deployment.nodes[node].lock().unwrap();
        node.process.signal(name);
    }

    /// The first node, the second one, or both.
    fn each(&self, chosen: usize, act: impl Fn(&crate::support::NodeProcess)) {
        let nodes = self.deployment.nodes.iter().enumerate();
        for (_, node) in nodes.filter(|(n, _)| chosen == 2 || chosen == *n) {
            act(&node.lock().unwrap());
        }
    }

    /// Breaks and heals until the time is over, with pauses in between.
    async fn again_and_again(
        &mut self,
        what: &str,
        pause: std::ops::Range<u64>,
        mut act: impl AsyncFnMut(&mut Self),
    ) {
        while Instant::now() < self.until {
            let from = self.now();
            act(self).await;
            self.window(what, None, from);
            self.pause(pause.clone()).await;
        }
    }

    async fn kill_nodes(&mut self) {
        while Instant::now() < self.until {
            let node = self.rng.random_range(0..2);
            let from = self.now();
            self.signal(node, "KILL");
            self.deployment.nodes[node].lock().unwrap().process.wait();
            self.pause(50..1_000).await;
            self.deployment.restart(node);
            self.window("node-killed", Some(node), from);
            self.pause(500..2_500).await;
        }
    }

    async fn restart_politely(&mut self, node: usize) {
        let (from, asked) = (self.now(), Instant::now());
        self.signal(node, "TERM");
        // Other faults run while this node drains.
        let code = self.deployment.nodes[node].lock().unwrap().process.wait();
        assert_eq!(code, 0, "SIGTERM exits 0");
        assert!(asked.elapsed() < DRAIN, "drained in {:?}", asked.elapsed());
        self.deployment.restart(node);
        self.window("rolling-restart", Some(node), from);
    }

    /// Uses all connections of PostgreSQL, also those of the nodes.
    async fn use_up_connections(&mut self) {
        let url = self.deployment.environment.services.database_url();
        let from = self.now();
        // While they are cut off, the nodes cannot win the race for their connections.
        self.each(2, |node| node.postgres.cut());
        let mut taken = Vec::new();
        while Instant::now() < self.until {
            while let Ok(connection) = PgConnection::establish(&url) {
                taken.push(connection);
            }
            self.each(2, |node| node.postgres.heal());
            self.pause(200..400).await;
        }
        drop(taken);
        self.window("postgres-full", None, from);
    }

    /// Switches to new segments of the write-ahead log until none can be made. PostgreSQL then panics and cannot recover.
    fn use_up_log(&self) {
        let url = self.deployment.environment.services.database_url();
        if let Ok(mut conn) = PgConnection::establish(&url) {
            let next = "SELECT pg_logical_emit_message(false, 'log', 'x'); SELECT pg_switch_wal()";
            while conn.batch_execute(next).is_ok() {}
        }
    }

    /// Everything is killed. One node and PostgreSQL come back and serve alone until the time is over.
    async fn break_everything(&mut self, left: usize) {
        let (deployment, services) = (self.deployment, &self.deployment.environment.services);
        let (from, gone) = (self.now(), 1 - left);
        for node in [0, 1] {
            self.signal(node, "KILL");
            deployment.nodes[node].lock().unwrap().process.wait();
        }
        services.kill_postgres();
        let stopped = self.rng.random_bool(0.5);
        if stopped {
            services.pause_redis();
        } else {
            services.kill_redis();
        }
        self.pause(100..1_500).await;
        services.start_postgres().unwrap();
        deployment.restart(left);
        for node in [None, Some(left)] {
            self.window("one-node-left", node, from);
        }
        self.hold().await;
        if stopped {
            services.resume_redis();
        } else {
            services.start_redis().unwrap();
        }
        deployment.restart(gone);
        self.window("one-node-left", Some(gone), from);
    }

    /// The clock of this node is wrong by an hour, that of the other node is right.
    async fn verify_clock(&self, turned: usize) {
        for (node, front) in self.deployment.fronts.iter().enumerate() {
            let url = format!("{}/health/live", front.url());
            let http = http();
            let ask = async || http.get(&url).send().await;
            // Another fault may have made the node unavailable for a moment.
            let within = Duration::from_secs(10);
            let answer = eventually("a node answers", within, ask, Result::is_ok).await;
            let answer = answer.unwrap();
            let shown = answer.headers()["date"].to_str().unwrap();
            let shown = chrono::DateTime::parse_from_rfc2822(shown).unwrap();
            let wrong = (shown.timestamp() - tideline::clock::unix_seconds()).abs() > 3_000;
            assert_eq!(wrong, node == turned, "node {node} has {shown}");
        }
    }

    /// Answers are held back, and their connections end before they arrive.
    async fn lose_answers(&mut self) {
        while Instant::now() < self.until {
            let node = self.rng.random_range(0..2);
            let (from, front) = (self.now(), &self.deployment.fronts[node]);
            front.hold_answers();
            self.pause(20..600).await;
            front.cut();
            self.pause(5..50).await;
            front.heal();
            self.window("answers-lost", Some(node), from);
            self.pause(100..600).await;
        }
    }

    /// Another session locks rows that sends need, and takes two in the wrong order, which causes a deadlock.
    async fn lock_rows(&mut self) {
        let url = self.deployment.environment.services.database_url();
        let mut holder = PgConnection::establish(&url).unwrap();
        let cast = &self.deployment.cast;
        let from = self.now();
        while Instant::now() < self.until {
            let chat = &cast.chats[self.rng.random_range(0..cast.chats.len())];
            let user = &cast.users[chat.members[self.rng.random_range(0..chat.members.len())]];
            let conversation = format!(
                "SELECT FROM conversations WHERE id = '{}' FOR UPDATE",
                chat.id
            );
            let timeline = format!("SELECT FROM timelines WHERE user_id = '{user}' FOR UPDATE");
            let first = if self.rng.random_bool(0.5) {
                &timeline
            } else {
                &conversation
            };
            execute(&mut holder, "BEGIN");
            execute(&mut holder, first);
            self.pause(100..1_600).await;
            // Either side may be the victim.
            let _victim = holder.batch_execute(&conversation);
            execute(&mut holder, "ROLLBACK");
            self.pause(20..300).await;
        }
        self.window("rows-locked", None, from);
    }
}
