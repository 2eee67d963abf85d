//! The measured deployment, private and temporary: PostgreSQL and Redis with production settings (fsync and synchronous_commit
//! on), a database for each row, and nodes as processes. All of it ends with this program, even after a crash.

use crate::client::{Person, fetch};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;
use tideline::dev::services::{Data, Services};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

const SECRET: &str = "a secret of the bench, long enough for HS256";

/// The directory of the reports and of temporary data. A debug build tests only that the benches run; its numbers mean nothing.
pub const TARGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target");

/// The log of the nodes.
const LOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/bench/node.log");

/// The PostgreSQL and Redis servers of a run.
pub struct Environment {
    services: Services,
}

/// A database, and one node that serves it.
pub struct Deployment {
    pub database_url: String,
    pub redis_url: String,
    pub node: Node,
    pub people: Vec<Person>,
    /// Variables of the nodes that start from now on, beside those of every node.
    pub variables: Vec<(&'static str, &'static str)>,
}

/// A node as a process.
pub struct Node {
    child: Child,
    pub address: SocketAddr,
    metrics: SocketAddr,
}

impl Environment {
    pub async fn start() -> Self {
        let dir = format!("{TARGET}/bench/environment");
        let services = Services::start(Path::new(&dir), Data::ThrownAway).unwrap();
        // The log of the last run, if there is one.
        let _missing = fs::remove_file(LOG);
        let data = services.data_dir().to_str().unwrap();
        let kind = run(Command::new("stat").args(["-f", "-c", "%T", data]), "").await;
        assert_ne!(kind.trim(), "tmpfs", "{data}: fsync costs nothing there");
        for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
            let is = sql(&services.database_url(), &format!("SHOW {setting}")).await;
            assert_eq!(is, "on", "{setting}");
        }
        Self { services }
    }

    /// A new database with this number of people, and a node.
    pub async fn deploy(&self, name: &str, people: usize) -> Deployment {
        sql(
            &self.services.database_url(),
            &format!("CREATE DATABASE {name}"),
        )
        .await;
        let database_url = self.services.database_url_of(name);
        let redis_url = self.services.redis_url();
        run(&mut tideline(&["migrate"], &database_url, &redis_url), "").await;
        let people = people.to_string();
        let seed = ["admin", "seed", "--users", &people];
        let seeded = run(&mut tideline(&seed, &database_url, &redis_url), "").await;
        let people: BTreeMap<_, _> = seeded.lines().map(Person::seeded).collect();
        Deployment {
            node: Node::start(&database_url, &redis_url, &[]).await,
            people: people.into_values().collect(),
            database_url,
            redis_url,
            variables: Vec::new(),
        }
    }

    /// Stops the node and drops the database, so that its autovacuum does not disturb later rows.
    pub async fn clear(&self, deployment: Deployment) {
        let name = deployment.sql("SELECT current_database()").await;
        deployment.node.stop().await;
        let drop = format!("DROP DATABASE {name} WITH (FORCE)");
        sql(&self.services.database_url(), &drop).await;
    }

    pub fn stop(&self) {
        self.services.stop();
    }
}

impl Deployment {
    pub async fn sql(&self, script: &str) -> String {
        sql(&self.database_url, script).await
    }

    /// The number that a query returns.
    pub async fn number(&self, query: &str) -> f64 {
        self.sql(query).await.parse().unwrap()
    }

    /// Starts another node of this deployment.
    pub async fn another(&self) -> Node {
        Node::start(&self.database_url, &self.redis_url, &self.variables).await
    }

    /// Replaces the node by a new process.
    pub async fn restart(&mut self) {
        let new = self.another().await;
        std::mem::replace(&mut self.node, new).stop().await;
    }

    /// Creates the direct conversations of the ring: user n sends to user n + 1 in the nth. Then runs another script.
    pub async fn ring(&self, then: &str) -> Vec<String> {
        let users = self.people.len();
        let script = format!("\\set users {users}\n{}{then}", include_str!("ring.sql"));
        self.sql(&script).await;
        let ids = format!("SELECT md5('ours' || n)::uuid FROM generate_series(0, {users} - 1) n");
        self.sql(&ids).await.lines().map(str::to_owned).collect()
    }

    /// The processor time of the running PostgreSQL processes since their start, in seconds.
    pub async fn postgres_cpu(&self) -> f64 {
        let pids = self.sql("SELECT pid FROM pg_stat_activity").await;
        pids.lines().filter_map(cpu).sum()
    }
}

impl Node {
    async fn start(database_url: &str, redis_url: &str, variables: &[(&str, &str)]) -> Self {
        loop {
            if let Some(node) = Self::try_start(database_url, redis_url, variables).await {
                return node;
            }
        }
    }

    /// None if the process has ended: one of the thousands of clients may have taken its port meanwhile.
    async fn try_start(
        database_url: &str,
        redis_url: &str,
        variables: &[(&str, &str)],
    ) -> Option<Self> {
        let [address, metrics] = [(); 2].map(|()| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        });
        let mut log = OpenOptions::new();
        let log = log.create(true).append(true).open(LOG).unwrap();
        let child = tideline(&["serve"], database_url, redis_url)
            .env("TIDELINE_BIND", address.to_string())
            .env("TIDELINE_METRICS_BIND", metrics.to_string())
            .env("TIDELINE_RATE_LIMIT", "off")
            // Enough to answer 18,000 waits.
            .env("TIDELINE_DRAIN_SECONDS", "5")
            .envs(variables.iter().copied())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut node = Self {
            child,
            address,
            metrics,
        };
        let begun = Instant::now();
        while !fetch(address, "/health/ready")
            .await
            .is_ok_and(|it| it.status == 200)
        {
            let seconds = begun.elapsed().as_secs();
            assert!(seconds < 60, "not ready: see {LOG}");
            if node.child.try_wait().unwrap().is_some() {
                return None;
            }
            sleep(Duration::from_millis(20)).await;
        }
        Some(node)
    }

    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// The processor time of all its threads since its start, in seconds.
    pub fn cpu(&self) -> f64 {
        cpu(&self.pid().to_string()).unwrap()
    }

    /// The number in a line of its `/proc/…/status`.
    pub fn status(&self, name: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.unwrap().split_whitespace().next().unwrap();
        number.parse().unwrap()
    }

    /// The number of its open files.
    pub fn files(&self) -> usize {
        let files = fs::read_dir(format!("/proc/{}/fd", self.pid()));
        files.unwrap().count()
    }

    /// The number of its parked waits.
    pub async fn parked(&self) -> usize {
        let metrics = fetch(self.metrics, "/metrics").await.unwrap().ok(200);
        let text = String::from_utf8_lossy(&metrics);
        let parked = text
            .lines()
            .find_map(|line| line.strip_prefix("tideline_notices_parked "));
        parked.unwrap().parse().unwrap()
    }

    /// Returns when this number of waits is parked.
    pub async fn until_parked(&self, count: usize) {
        let begun = Instant::now();
        loop {
            let parked = self.parked().await;
            if parked == count {
                return;
            }
            let seconds = begun.elapsed().as_secs();
            assert!(seconds < 120, "{parked} of {count} waits are parked");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills the process, as the loss of a machine does.
    pub fn kill(&mut self) {
        self.child.start_kill().unwrap();
    }

    /// Stops the process by SIGTERM, as an operator does.
    pub async fn stop(mut self) {
        let pid = self.pid().to_string();
        run(Command::new("kill").args(["-s", "TERM", &pid]), "").await;
        let ended = self.child.wait().await.unwrap();
        assert!(ended.success(), "{ended}: see {LOG}");
    }
}

/// The program under test.
fn tideline(arguments: &[&str], database_url: &str, redis_url: &str) -> Command {
    let mut command = supervised(env!("CARGO_BIN_EXE_tideline"));
    command
        .args(arguments)
        .env_remove("RUST_LOG")
        .env("DATABASE_URL", database_url)
        .env("REDIS_URL", redis_url)
        .env("TIDELINE_JWT_SECRET", SECRET);
    command
}

/// A program that the kernel kills when this program ends.
pub fn supervised(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", program])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// The processor time of a process in seconds. The kernel counts hundredths.
pub fn cpu(pid: &str) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

/// Runs SQL or a psql script, and returns its output.
async fn sql(url: &str, script: &str) -> String {
    let mut psql = Command::new("psql");
    psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", url]);
    run(&mut psql, script).await.trim_end().to_owned()
}

/// Runs a program, which must succeed, and returns its output.
pub async fn run(command: &mut Command, input: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {said}");
    String::from_utf8(stdout).unwrap()
}
