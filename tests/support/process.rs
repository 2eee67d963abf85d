//! A node as a process, for tests that need one: kill -9, SIGTERM, its log.

use crate::support::services::media_url;
use crate::support::{Proxy, SECRET};
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub struct Process {
    child: Child,
    pub url: String,
    log: Arc<Mutex<Vec<String>>>,
}

/// A node as a process with its own proxies before PostgreSQL and Redis, so that faults affect no other node.
pub struct NodeProcess {
    pub process: Process,
    /// Between this node and PostgreSQL.
    pub postgres: Proxy,
    /// Between this node and Redis.
    pub redis: Proxy,
}

/// An address with a free port. It is below those that the kernel gives to clients and to listeners without a port: one of them could
/// take it before the node listens.
pub fn free_address() -> String {
    let addresses = std::iter::repeat_with(|| rand::random_range(11_000..15_000));
    let mut addresses = addresses.map(|port: u16| format!("127.0.0.1:{port}"));
    addresses
        .find(|address| TcpListener::bind(address).is_ok())
        .unwrap()
}

impl NodeProcess {
    /// Starts a node on these servers.
    pub fn serve(database_url: &str, redis_url: &str, variables: &[(&str, &str)]) -> Self {
        Self::behind(Proxy::before(database_url), redis_url, variables)
    }

    /// The same behind this proxy of PostgreSQL.
    pub fn behind(postgres: Proxy, redis_url: &str, variables: &[(&str, &str)]) -> Self {
        let redis = Proxy::before(redis_url);
        // As few threads and connections as the in-process nodes of the tests.
        let mut all = vec![("TIDELINE_WORKERS", "1"), ("TIDELINE_DB_POOL", "6")];
        let database = postgres.url().rsplit('/').next().unwrap();
        let database = database.split('?').next().unwrap();
        let media = media_url(database);
        all.push(("TIDELINE_MEDIA_URL", &media));
        all.extend(variables);
        Self {
            process: Process::serve(postgres.url(), redis.url(), &all),
            postgres,
            redis,
        }
    }
}

impl Process {
    /// The program with these arguments and only this environment.
    pub fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tideline"));
        let path = tideline::config::environment("PATH").unwrap();
        command
            .args(arguments)
            .env_clear()
            .env("PATH", path)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// Starts `tideline serve` and waits until it listens.
    pub fn serve(database_url: &str, redis_url: &str, variables: &[(&str, &str)]) -> Self {
        let mut all = vec![
            ("DATABASE_URL", database_url),
            ("REDIS_URL", redis_url),
            ("TIDELINE_JWT_SECRET", SECRET),
            ("TIDELINE_RATE_LIMIT", "off"),
            ("TIDELINE_DESKS", "open"),
        ];
        all.extend(variables);
        Self::start(&["serve"], &all)
    }

    /// Starts `tideline dev` and waits until it listens.
    pub fn dev(dir: &Path) -> Self {
        let variables = [
            // The default port allows only one per machine.
            ("TIDELINE_METRICS_BIND", "127.0.0.1:0"),
        ];
        Self::start(&["dev", "--dir", dir.to_str().unwrap()], &variables)
    }

    fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let bind = free_address();
        let mut child = Self::command(arguments, variables)
            .env("TIDELINE_BIND", &bind)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let (lines, stderr) = (Arc::clone(&log), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        let process = Self {
            child,
            url: format!("http://{bind}"),
            log,
        };
        let started = Instant::now();
        while TcpStream::connect(&bind).is_err() {
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "{:#?}",
                process.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        process
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The log so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Sends a signal, by the name that `kill` knows.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .unwrap();
        assert!(status.success());
        // One of its threads must handle the signal first, and on a busy machine the others run until then.
        let since = Instant::now();
        while name == "STOP" && !self.is_stopped() {
            assert!(since.elapsed() < Duration::from_secs(10), "it goes on");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn is_stopped(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let stat = |thread: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(thread.unwrap().path().join("stat"))
        };
        // A thread that has ended meanwhile is ignored.
        let mut stats = threads.map(stat).filter_map(Result::ok);
        stats.all(|stat| stat.contains(") T "))
    }

    /// Waits for the exit, at most this long.
    pub fn wait_for(&mut self, time: Duration) -> i32 {
        let since = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(since.elapsed() < time, "it goes on: {:#?}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        self.wait()
    }

    /// Waits for the exit: returns the exit code, or minus the signal.
    pub fn wait(&mut self) -> i32 {
        let status = self.child.wait().unwrap();
        status.code().unwrap_or_else(|| -status.signal().unwrap())
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "shown of a test that has failed")]
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            eprintln!(
                "the end of its log: {:#?}",
                &log[log.len().saturating_sub(50)..]
            );
        }
    }
}
