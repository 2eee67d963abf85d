//! A Redis Cluster of three masters with one replica each, as child processes that end with the tests.

use redis::{Client, Connection, FromRedisValue};
use std::collections::HashMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

const MASTERS: usize = 3;
const PASSWORD: &str = "the password of a cluster";

/// The time for the servers to agree.
const PATIENCE: Duration = Duration::from_secs(30);

/// Below the ephemeral ports of the kernel; the port of the cluster bus is 10,000 higher.
const PORTS: std::ops::Range<u16> = 15_000..22_000;

/// A cluster. Servers have numbers: at first the masters are 0 to 2, and the replica of `n` is `n + 3`.
pub struct Cluster {
    dir: PathBuf,
    ports: Vec<u16>,
    servers: Vec<Mutex<Child>>,
    orders: Sender<(Command, Sender<Child>)>,
}

impl Cluster {
    /// Starts a cluster with its files in this directory, which is emptied first.
    pub fn start(dir: &Path) -> Self {
        let _was_none = fs::remove_dir_all(dir);
        fs::create_dir_all(dir).unwrap();
        // The kernel ends a child when the thread that spawned it ends, so this thread lives on.
        let (orders, inbox): (_, Receiver<(Command, Sender<Child>)>) = channel();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                answer.send(command.spawn().unwrap()).unwrap();
            }
        });
        let mut cluster = Self {
            dir: dir.to_owned(),
            ports: Vec::new(),
            servers: Vec::new(),
            orders,
        };
        for n in 0..2 * MASTERS {
            let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
            let fresh = std::iter::repeat_with(|| rand::random_range(PORTS));
            let mut free = fresh.filter(|port| is_free(*port) && is_free(port + 10_000));
            cluster.ports.push(free.next().unwrap());
            cluster.servers.push(Mutex::new(cluster.spawn(n)));
        }
        let ids: Vec<String> = (0..2 * MASTERS)
            .map(|n| cluster.ask(n, &["CLUSTER", "MYID"]))
            .collect();
        for n in 0..MASTERS {
            let first = n * 16_384 / MASTERS;
            let last = (n + 1) * 16_384 / MASTERS - 1;
            let epoch = (n + 1).to_string();
            let _: () = cluster.ask(n, &["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
            let range = [first.to_string(), last.to_string()];
            let _: () = cluster.ask(n, &["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]);
        }
        for port in &cluster.ports[1..] {
            let _: () = cluster.ask(0, &["CLUSTER", "MEET", "127.0.0.1", &port.to_string()]);
        }
        let all = 2 * MASTERS;
        cluster.until("all know each other", |it| {
            (0..all).all(|n| it.info(n, "CLUSTER", "cluster_known_nodes") == all.to_string())
        });
        for (n, id) in ids.iter().take(MASTERS).enumerate() {
            // The replica must know its master as such.
            cluster.until("it replicates", |it| {
                it.try_ask::<()>(n + MASTERS, &["CLUSTER", "REPLICATE", id])
                    .is_ok()
            });
        }
        cluster.until("all is well", Self::is_well);
        cluster
    }

    /// Its URL, with some of its servers.
    pub fn url(&self) -> String {
        let [first, second] = [self.ports[0], self.ports[4]];
        let password = PASSWORD.replace(' ', "%20");
        format!("redis+cluster://default:{password}@127.0.0.1:{first},127.0.0.1:{second}")
    }

    /// The number of the server that is the master of a key.
    pub fn master_of(&self, key: &str) -> usize {
        let alive = self.alive();
        let slot: u16 = self.ask(alive, &["CLUSTER", "KEYSLOT", key]);
        let masters = self.slots(alive).into_iter();
        let mut of = masters.filter(|(first, last, _)| (*first..=*last).contains(&slot));
        of.next().unwrap().2
    }

    /// All masters.
    pub fn masters(&self) -> Vec<usize> {
        let mut masters: Vec<_> = self.slots(self.alive()).iter().map(|one| one.2).collect();
        masters.sort_unstable();
        masters.dedup();
        masters
    }

    /// Moves the slot of a key, with all its keys, to another master.
    pub fn move_slot(&self, key: &str, to: usize) {
        let from = self.master_of(key);
        let slot: u16 = self.ask(from, &["CLUSTER", "KEYSLOT", key]);
        let slot = slot.to_string();
        let id = |n| -> String { self.ask(n, &["CLUSTER", "MYID"]) };
        let (old, new) = (id(from), id(to));
        let set = |n, rest: &[&str]| {
            let _: () = self.ask(n, &[&["CLUSTER", "SETSLOT", &slot], rest].concat());
        };
        set(to, &["IMPORTING", &old]);
        set(from, &["MIGRATING", &new]);
        let keys: Vec<String> = self.ask(from, &["CLUSTER", "GETKEYSINSLOT", &slot, "1000"]);
        for key in keys {
            let port = self.ports[to].to_string();
            let migrate = ["MIGRATE", "127.0.0.1", &port, &key, "0", "1000"];
            let _: () = self.ask(from, &[&migrate[..], &["AUTH", PASSWORD]].concat());
        }
        let others = self.masters().into_iter();
        let others = others.filter(|n| ![to, from].contains(n));
        for n in [to, from].into_iter().chain(others) {
            set(n, &["NODE", &new]);
        }
    }

    /// Kills a server: it loses all data but its view of the cluster.
    pub fn kill(&self, n: usize) {
        let mut server = self.servers[n].lock().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// Starts a killed server again.
    pub fn restart(&self, n: usize) {
        *self.servers[n].lock().unwrap() = self.spawn(n);
    }

    /// Sends a signal to a server, by the name that `kill` knows.
    pub fn signal(&self, n: usize, name: &str) {
        let pid = self.servers[n].lock().unwrap().id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.unwrap().success());
    }

    /// Asks one server.
    pub fn ask<T: FromRedisValue>(&self, n: usize, command: &[&str]) -> T {
        self.try_ask(n, command).unwrap()
    }

    pub fn try_ask<T: FromRedisValue>(&self, n: usize, command: &[&str]) -> redis::RedisResult<T> {
        let mut all = redis::cmd(command[0]);
        all.arg(&command[1..]).query(&mut self.connect(n)?)
    }

    /// Waits until something holds.
    pub fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !holds(self) {
            assert!(started.elapsed() < PATIENCE, "not in time: {what}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether every server sees all slots served, and every replica its master.
    pub fn is_well(&self) -> bool {
        (0..self.ports.len()).all(|n| {
            self.info(n, "CLUSTER", "cluster_state") == "ok"
                && self.info(n, "CLUSTER", "cluster_slots_ok") == "16384"
                && (self.info(n, "INFO", "role") == "master"
                    || self.info(n, "INFO", "master_link_status") == "up")
        })
    }

    /// A field of `INFO` or `CLUSTER INFO`; empty if it is missing or the server does not answer.
    fn info(&self, n: usize, of: &str, field: &str) -> String {
        let command = match of {
            "CLUSTER" => &["CLUSTER", "INFO"][..],
            _ => &["INFO", "replication"],
        };
        let text: String = self.try_ask(n, command).unwrap_or_default();
        let fields: HashMap<_, _> = text.lines().filter_map(|one| one.split_once(':')).collect();
        fields
            .get(field)
            .map_or("", |value| value.trim())
            .to_owned()
    }

    /// The first and last slot and the master of each range.
    fn slots(&self, asked: usize) -> Vec<(u16, u16, usize)> {
        let rows: Vec<Vec<redis::Value>> = self.ask(asked, &["CLUSTER", "SLOTS"]);
        let rows = rows.into_iter().map(|mut row| {
            row.truncate(3);
            let [first, last, master] = row.try_into().unwrap();
            let port: Vec<redis::Value> = redis::from_redis_value(master).unwrap();
            let port: u16 = redis::from_redis_value(port[1].clone()).unwrap();
            (
                redis::from_redis_value(first).unwrap(),
                redis::from_redis_value(last).unwrap(),
                self.ports.iter().position(|one| *one == port).unwrap(),
            )
        });
        rows.collect()
    }

    fn alive(&self) -> usize {
        let answers = |n: &usize| self.try_ask::<String>(*n, &["PING"]).is_ok();
        (0..self.ports.len()).find(answers).unwrap()
    }

    fn connect(&self, n: usize) -> redis::RedisResult<Connection> {
        let password = PASSWORD.replace(' ', "%20");
        let url = format!("redis://default:{password}@127.0.0.1:{}/", self.ports[n]);
        let client = Client::open(url)?;
        let connection = client.get_connection_with_timeout(Duration::from_secs(1))?;
        connection.set_read_timeout(Some(Duration::from_secs(1)))?;
        Ok(connection)
    }

    fn spawn(&self, n: usize) -> Child {
        let port = self.ports[n];
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--", "redis-server"])
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--requirepass", PASSWORD, "--masterauth", PASSWORD])
            .args(["--save", "", "--appendonly", "no"])
            .args(["--repl-diskless-sync-delay", "0"])
            .args(["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"])
            .args(["--cluster-require-full-coverage", "no"])
            .args(["--cluster-config-file", &format!("{port}.conf")])
            .args(["--dir", self.dir.to_str().unwrap()])
            .args(["--logfile", &format!("{port}.log")])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let (answer, child) = channel();
        self.orders.send((command, answer)).unwrap();
        let child = child.recv().unwrap();
        let started = Instant::now();
        while self.try_ask::<String>(n, &["PING"]).is_err() {
            assert!(started.elapsed() < PATIENCE, "server {n} does not start");
            thread::sleep(Duration::from_millis(10));
        }
        child
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for server in &self.servers {
            let mut server = server.lock().unwrap();
            let _ended = server.kill();
            let _reaped = server.wait();
        }
        let _left_for_the_next = fs::remove_dir_all(&self.dir);
    }
}
