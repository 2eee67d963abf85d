//! The environment of the nodes: PostgreSQL and Redis, and for some faults a standby, a small disk or a wrong clock.

use crate::support::{Cluster, Proxy, admin, execute, number, throw_away};
use diesel::{Connection, PgConnection};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tideline::dev::services::standby::Standby;
use tideline::dev::services::{Data, Services};

/// A name and a value of a node's environment.
pub type Variable = (String, String);

pub struct Environment {
    // They are dropped in this order.
    pub standby: Option<Standby>,
    /// The host of the primary.
    pub host: Option<Host>,
    /// Replaces the Redis of the services.
    pub cluster: Option<Cluster>,
    pub services: Services,
    disk: Option<Disk>,
    /// For each node.
    pub variables: [Vec<Variable>; 2],
}

impl Environment {
    /// Sets up what these faults need.
    pub fn set_up(faults: &str, seed: u64) -> Self {
        let has = |name| faults.split('+').any(|fault| fault == name);
        let disk = has("disk-full").then(Disk::mount);
        let services = match &disk {
            Some(disk) => Services::start(&disk.dir, Data::ThrownAway).unwrap(),
            None => throw_away("matrix"),
        };
        let mut variables = [Vec::new(), Vec::new()];
        let host = has("postgres-vanished").then(|| Host::before(&services.database_url()));
        let follows = has("postgres-failover") || has("standby-stopped") || host.is_some();
        let standby = follows.then(|| follow(&services));
        if let Some(standby) = &standby {
            let primary = services.database_url();
            let primary = host
                .as_ref()
                .map_or(primary.as_str(), |host| host.proxy.url());
            for node in &mut variables {
                let url = either_url(primary, standby);
                node.push(("DATABASE_URL".to_owned(), url));
            }
        }
        for (fault, turn) in [("clock-ahead", "+1h"), ("clock-behind", "-1h")] {
            if has(fault) {
                variables[turned(seed)].extend(turned_clock(turn));
            }
        }
        let is_cluster = faults.starts_with("cluster");
        let cluster = is_cluster.then(|| Cluster::start(&services.data_dir().join("cluster")));
        if let Some(cluster) = &cluster {
            for node in &mut variables {
                node.push(("REDIS_URL".to_owned(), cluster.url()));
            }
        }
        Self {
            standby,
            host,
            cluster,
            services,
            disk,
            variables,
        }
    }

    /// Promotes the standby to a primary.
    pub fn promote(&self) {
        let standby = self.standby.as_ref().unwrap();
        let mut conn = PgConnection::establish(&standby_url(&self.services, standby)).unwrap();
        execute(&mut conn, "SELECT pg_promote(true, 60)");
    }

    /// Takes a consistent backup while the database is in use.
    pub fn back_up(&self) -> PathBuf {
        let file = self.services.data_dir().join("backup");
        let url = self.services.database_url();
        let options = ["--format=custom", "--file", path(&file), &url];
        assert!(run("pg_dump", &options), "pg_dump fails");
        file
    }

    /// Replaces the database by a backup, and begins a new epoch.
    pub fn restore(&self, backup: &Path) {
        let url = self.services.database_url();
        let other = self.services.database_url_of("postgres");
        let mut conn = PgConnection::establish(&other).unwrap();
        execute(&mut conn, "DROP DATABASE tideline WITH (FORCE)");
        execute(&mut conn, "CREATE DATABASE tideline");
        let options = ["--exit-on-error", "--dbname", &url, path(backup)];
        assert!(run("pg_restore", &options), "pg_restore fails");
        let begun = admin(&url, &self.services.redis_url(), &["new-epoch"]);
        assert!(begun.status.success(), "{begun:?}");
    }

    /// Fills the disk, or all but half a page of PostgreSQL.
    pub fn fill_disk(&self, but_half_a_page: bool) {
        let mut ballast = File::create(self.disk.as_ref().unwrap().ballast()).unwrap();
        let some = [0; 4_096];
        let mut pages = 0;
        loop {
            match ballast.write_all(&some) {
                Ok(()) => pages += 1,
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
        if but_half_a_page {
            ballast.set_len((pages - 1) * 4_096).unwrap();
        }
    }

    /// Frees the disk, and starts PostgreSQL if it has stopped, as an operator would.
    pub fn free_disk(&self) {
        fs::remove_file(self.disk.as_ref().unwrap().ballast()).unwrap();
        let (began, url) = (Instant::now(), self.services.database_url());
        while let Err(error) = PgConnection::establish(&url) {
            assert!(began.elapsed() < Duration::from_secs(30), "{error}");
            // It may be shutting down.
            let _again = self.services.start_postgres();
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Starts a standby and makes commits synchronous with it. The base backup was taken before that, so the promoted standby waits
/// for no other.
fn follow(services: &Services) -> Standby {
    let standby = services.start_standby().unwrap();
    let mut conn = PgConnection::establish(&services.database_url()).unwrap();
    execute(
        &mut conn,
        "ALTER SYSTEM SET synchronous_standby_names = '*'",
    );
    execute(&mut conn, "SELECT pg_reload_conf()");
    let began = Instant::now();
    let follows = "SELECT count(*) AS n FROM pg_stat_replication WHERE sync_state = 'sync'";
    while number(&mut conn, follows) == 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "no standby");
        std::thread::sleep(Duration::from_millis(50));
    }
    standby
}

fn standby_url(services: &Services, standby: &Standby) -> String {
    let mut url = reqwest::Url::parse(&services.database_url()).unwrap();
    url.set_port(Some(standby.port())).unwrap();
    url.to_string()
}

/// The URL of both servers, for the one that accepts writes.
fn either_url(primary: &str, standby: &Standby) -> String {
    let url = primary.replace(
        "/tideline?",
        &format!(",127.0.0.1:{}/tideline?", standby.port()),
    );
    format!("{url}&target_session_attrs=read-write")
}

/// The node whose clock is wrong.
pub fn turned(seed: u64) -> usize {
    usize::from(seed.is_multiple_of(2))
}

fn turned_clock(turn: &str) -> Vec<Variable> {
    let folders = fs::read_dir("/usr/lib").unwrap().flatten();
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let library = libraries.find(|library| library.exists());
    let library = library.expect("libfaketime is missing: run `.ci/install faults`");
    [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME", turn),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// A separate host as far as TCP can tell: a network namespace, and a proxy that listens in it.
pub struct Host {
    name: String,
    pub proxy: Proxy,
}

impl Host {
    fn before(url: &str) -> Self {
        let pid = std::process::id();
        let (name, here, there) = (format!("tl{pid}"), format!("tl{pid}h"), format!("tl{pid}n"));
        let net = format!("10.213.{}", pid % 250);
        let (ours, theirs) = (format!("{net}.1/24"), format!("{net}.2"));
        let mac = "02:00:00:00:00:02";
        for words in [
            format!("netns add {name}"),
            format!("link add {here} type veth peer name {there} address {mac} netns {name}"),
            format!("address add {ours} dev {here}"),
            format!("link set {here} up"),
            format!("-n {name} address add {theirs}/24 dev {there}"),
            format!("-n {name} link set {there} up"),
            // A router does not learn that a host behind it has vanished, so it must not report it as unreachable.
            format!("neighbour replace {theirs} lladdr {mac} dev {here} nud permanent"),
        ] {
            let words: Vec<_> = words.split(' ').collect();
            assert!(
                run("ip", &words),
                "ip {words:?} fails: postgres-vanished needs Linux, root and `.ci/install faults`, and a machine (or \
                 container) that lets network namespaces be made"
            );
        }
        let space = File::open(format!("/run/netns/{name}")).unwrap();
        // A socket stays in the namespace in which it was made, whichever thread uses it.
        let listener = std::thread::spawn(move || {
            move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            TcpListener::bind((theirs, 0)).unwrap()
        });
        Self {
            name,
            proxy: Proxy::listening(listener.join().unwrap(), url),
        }
    }

    /// From now on all packets to and from it are lost.
    pub fn vanish(&self) {
        let device = format!("{}n", self.name);
        let words = ["-n", &self.name, "address", "flush", "dev", &device];
        assert!(run("ip", &words), "ip {words:?} fails");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.proxy.cut();
        run("ip", &["link", "delete", &format!("{}h", self.name)]);
        run("ip", &["netns", "delete", &self.name]);
    }
}

/// Enough for a few minutes of load.
const DISK: &str = "size=512m";

/// A small disk, in memory.
struct Disk {
    dir: PathBuf,
}

impl Disk {
    fn mount() -> Self {
        let free = (0..32).find_map(|slot| {
            let dir = std::env::temp_dir().join(format!("tideline-disk-{slot}"));
            // A killed run has left it; a disk of another running test is busy.
            run("umount", &[path(&dir)]);
            fs::create_dir_all(&dir).unwrap();
            (!run("mountpoint", &["-q", path(&dir)])).then_some(dir)
        });
        let dir = free.expect("no place for a small disk");
        let options = ["-t", "tmpfs", "-o", DISK, "tideline", path(&dir)];
        assert!(
            run("mount", &options),
            "mounting a small disk is not permitted: disk-full needs Linux and root"
        );
        Self { dir }
    }

    fn ballast(&self) -> PathBuf {
        self.dir.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &[path(&self.dir)]);
        let _left = fs::remove_dir(&self.dir);
    }
}

fn path(dir: &Path) -> &str {
    dir.to_str().unwrap()
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}
