//! A private PostgreSQL and Redis, run as child processes.
//!
//! `tideline dev` keeps their data in `./.tideline`; the tests throw theirs away. [`Services::start`] claims a directory
//! (one process at a time, by a file lock), ends what a crash left running in it, makes the database cluster on the first
//! run, and returns once both servers answer. They listen on 127.0.0.1 alone, at ports of their own, behind one random
//! password. Durability is what production has: `fsync`, `synchronous_commit` and `full_page_writes` are on,
//! which is PostgreSQL's default, and a node that finds one of them off does not start.
//!
//! The children never outlive us. [`Services::stop`] and `Drop` end them in order; if we are killed with no time for that,
//! the kernel tells them (`setpriv --pdeathsig`). They have process groups of their own, so that a Ctrl-C in the terminal
//! reaches only us and the order of shutdown is ours. What slips through all of that is found by the next start.
//!
//! PostgreSQL refuses to run as root. As root, both servers run as the user `postgres`, and when that user cannot reach the
//! wanted directory (a checkout below `/root`), the data moves below `/var/lib/tideline-dev`: [`Services::data_dir`] tells.
//!
//! The inside of the directory: `tideline.lock`, `password`, `postgres/`, `postgres.log`, `postgres.port`, and the same for
//! Redis; with TLS, which the tests turn on, also `server.crt`, `server.key` and `redis-tls.port`.

mod process;
mod programs;
mod server;
pub mod standby;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::programs::{Programs, run};
use self::server::{Server, port};

/// Held by the process whose services these are; its presence also says that a directory is one of ours.
const LOCK: &str = "tideline.lock";

/// By what the servers prove who they are.
const CERTIFICATE: &str = "server.crt";

/// The key of that.
const KEY: &str = "server.key";

/// Why the services could not be started, in sentences for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum ServicesError {
    /// No `initdb` and `postgres` next to each other.
    #[error(
        "PostgreSQL's server programs (initdb, postgres) were not found; run `.ci/install`, or install the package \
         `postgresql` (Fedora: `postgresql-server`, macOS: `brew install postgresql` and put its bin directory on PATH)"
    )]
    NoPostgres,
    /// Neither `redis-server` nor its fork `valkey-server` runs.
    #[error(
        "`redis-server` was not found; run `.ci/install`, or install the package `redis-server`, `redis` or `valkey`"
    )]
    NoRedis,
    /// No `setpriv`, or not the one that knows the parent-death signal.
    #[error("`setpriv` was not found; run `.ci/install`, or install the package `util-linux`")]
    NoSetpriv,
    /// We are root, and there is nobody to run PostgreSQL as.
    #[error(
        "PostgreSQL does not run as root, and there is no user `postgres` to run it as; create one, or start as another user"
    )]
    NoUser,
    /// Another process holds the directory's lock.
    #[error("the services in {dir} are already run by process {pid}; stop that one first")]
    InUse {
        /// The contended directory.
        dir: PathBuf,
        /// The holder, as it wrote itself down.
        pid: String,
    },
    /// The directory holds files that we did not put there.
    #[error("{0} has other files in it; name a new or empty directory")]
    NotOurs(PathBuf),
    /// As root: neither the wanted directory nor the one of last resort works for `postgres`.
    #[error("the user `postgres` can reach neither the wanted directory nor {0}")]
    Unreachable(PathBuf),
    /// A program that had to end well did not.
    #[error("{program} failed: {said}")]
    Failed {
        /// Its name.
        program: &'static str,
        /// Its last words.
        said: String,
    },
    /// A server ended, or did not answer in time, while it was starting.
    #[error("{server} {what}; the end of {log} says:\n{tail}", log = .log.display())]
    NotReady {
        /// Which of the two.
        server: &'static str,
        /// What it did instead of answering.
        what: String,
        /// The whole log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// The path or program concerned.
        what: String,
        /// The refusal.
        source: io::Error,
    },
}

type Result<T> = std::result::Result<T, ServicesError>;

/// What becomes of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// It stays for the next start.
    Kept,
    /// The start begins with empty servers, and the stop removes the whole directory.
    ThrownAway,
}

/// By what both servers prove who they are, to clients that want TLS: in the PEM format.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The certificate.
    pub certificate: &'a str,
    /// Its private key.
    pub key: &'a str,
}

/// The two running servers. Every method takes `&self`, so that tests can share one.
#[derive(Debug)]
pub struct Services {
    dir: PathBuf,
    data: Data,
    programs: Programs,
    password: String,
    postgres: Server,
    redis: Server,
    /// Where Redis listens for TLS, when there is an identity; PostgreSQL needs no second port for it.
    redis_tls: Option<u16>,
    /// Held open for the lock on it.
    _lock: File,
}

impl Services {
    /// Starts both servers with their data in `dir`, which is made if it is missing, and waits until they answer.
    pub fn start(dir: &Path, data: Data) -> Result<Self> {
        Self::start_as(dir, data, None)
    }

    /// The same, and with an identity they take clients with TLS as well.
    pub fn start_as(dir: &Path, data: Data, identity: Option<Identity<'_>>) -> Result<Self> {
        let programs = Programs::find()?;
        let dir = programs.place(dir)?;
        let lock = lock(&dir)?;
        let password = programs.password(&dir.join("password"))?;
        let postgres = Server::new("postgres", "INT", "postmaster.pid", &dir)?;
        let redis = Server::new("redis", "TERM", "redis.pid", &dir)?;
        let redis_tls = match identity {
            Some(Identity { certificate, key }) => {
                programs.write(&dir.join(CERTIFICATE), certificate)?;
                programs.write(&dir.join(KEY), key)?;
                Some(port(&dir.join("redis-tls.port"))?)
            }
            None => None,
        };
        let services = Self {
            dir,
            data,
            programs,
            password,
            postgres,
            redis,
            redis_tls,
            _lock: lock,
        };
        services.make_cluster()?;
        services.start_redis()?;
        services.start_postgres()?;
        Ok(services)
    }

    /// The libpq URL of the database `tideline`, as its superuser of the same name.
    pub fn database_url(&self) -> String {
        self.database_url_of("tideline")
    }

    /// The same for another database of this server.
    pub fn database_url_of(&self, database: &str) -> String {
        let (password, port) = (&self.password, self.postgres.port);
        format!(
            "postgres://tideline:{password}@127.0.0.1:{port}/{database}\
             ?connect_timeout=3"
        )
    }

    /// The URL of Redis. It names the user, since `redis-cli` takes a missing name for an empty one.
    pub fn redis_url(&self) -> String {
        format!(
            "redis://default:{}@127.0.0.1:{}/",
            self.password, self.redis.port
        )
    }

    /// The URL of Redis by TLS, where there is an identity. Certificates are for names, so it has one.
    pub fn rediss_url(&self) -> Option<String> {
        let url = |port| format!("rediss://default:{}@localhost:{port}/", self.password);
        self.redis_tls.map(url)
    }

    /// Where the data is, which as root is not always where it was wanted.
    pub fn data_dir(&self) -> &Path {
        &self.dir
    }

    /// Shuts both servers down and waits for them: ten seconds to end well, then by force. Repeating it does nothing.
    pub fn stop(&self) {
        self.postgres.stop();
        self.redis.stop();
        if self.data == Data::ThrownAway
            && let Err(error) = remove(&self.dir)
        {
            log::warn!("{error}");
        }
    }

    /// Starts PostgreSQL again, on the same port and data, unless it runs.
    pub fn start_postgres(&self) -> Result<()> {
        self.launch_postgres(&self.postgres)
    }

    /// Starts PostgreSQL on a server's port and data, and waits until it answers.
    fn launch_postgres(&self, server: &Server) -> Result<()> {
        let home = &server.home;
        let mut command = self
            .programs
            .command(self.programs.postgres.join("postgres"), server.quit);
        command.arg("-D").arg(home);
        for setting in [
            "listen_addresses=127.0.0.1",
            // A socket's path may have 107 bytes, and a directory below a checkout may have more.
            "unix_socket_directories=",
            "max_connections=200",
            "shared_buffers=128MB",
            &format!("port={}", server.port),
        ] {
            command.args(["-c", setting]);
        }
        if self.redis_tls.is_some() {
            let (certificate, key) = (self.dir.join(CERTIFICATE), self.dir.join(KEY));
            command.args(["-c", "ssl=on"]);
            command.args(["-c", &format!("ssl_cert_file={}", certificate.display())]);
            command.args(["-c", &format!("ssl_key_file={}", key.display())]);
        }
        // The status that pg_ctl waits for as well: the eighth line of the pid file.
        server.launch(command, |pid| {
            let file = fs::read_to_string(home.join("postmaster.pid")).unwrap_or_default();
            file.lines().next() == Some(&pid.to_string())
                && file
                    .lines()
                    .nth(7)
                    .is_some_and(|line| line.trim() == "ready")
        })
    }

    /// Starts Redis again, empty, on the same port, unless it runs.
    pub fn start_redis(&self) -> Result<()> {
        let (home, port, password) = (&self.redis.home, self.redis.port, &self.password);
        fs::create_dir_all(home).map_err(at(home))?;
        self.programs.give(home, 0o700)?;
        // A file and not arguments, because everybody may read the arguments. With its title left alone, the process
        // goes on naming this file, by which a later start knows it.
        let config = home.join("redis.conf");
        let mut text = format!(
            "bind 127.0.0.1\nport {port}\nrequirepass {password}\ndaemonize no\nset-proc-title no\n\
             appendonly no\nsave \"\"\ndir \"{dir}\"\npidfile \"{dir}/redis.pid\"\n",
            dir = home.display()
        );
        if let Some(port) = self.redis_tls {
            text.push_str(&format!(
                "tls-port {port}\ntls-auth-clients no\ntls-cert-file \"{dir}/{CERTIFICATE}\"\n\
                 tls-key-file \"{dir}/{KEY}\"\n",
                dir = self.dir.display()
            ));
        }
        self.programs.write(&config, &text)?;
        let mut command = self.programs.command(self.programs.redis, self.redis.quit);
        command.arg(config);
        self.redis
            .launch(command, |_| pongs(port, password).unwrap_or(false))
    }

    /// Kills PostgreSQL, all of it at one instant, and waits until its last process is gone: a new server refuses to start
    /// while one of the old backends lives.
    pub fn kill_postgres(&self) {
        self.postgres.kill();
    }

    /// Kills Redis, and with it everything that it knew.
    pub fn kill_redis(&self) {
        self.redis.kill();
    }

    /// Stops every process of PostgreSQL in its tracks: connections stay open, and nothing answers.
    pub fn pause_postgres(&self) {
        self.postgres.pause();
    }

    /// Lets a paused PostgreSQL go on.
    pub fn resume_postgres(&self) {
        self.postgres.resume();
    }

    /// Stops Redis in its tracks: the kernel still accepts connections, and nothing answers.
    pub fn pause_redis(&self) {
        self.redis.pause();
    }

    /// Lets a paused Redis go on.
    pub fn resume_redis(&self) {
        self.redis.resume();
    }

    /// Makes the cluster and the database beside their place and renames them into it, so that a start that is cut
    /// short leaves no half of them.
    fn make_cluster(&self) -> Result<()> {
        let home = &self.postgres.home;
        if self.data == Data::ThrownAway {
            remove(home)?;
        }
        if home.exists() {
            return Ok(());
        }
        let new = self.dir.join("postgres.new");
        remove(&new)?;
        let mut initdb = self
            .programs
            .command(self.programs.postgres.join("initdb"), "KILL");
        initdb.args([
            "--username=tideline",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            "--pwfile",
        ]);
        initdb.arg(self.dir.join("password")).arg("-D").arg(&new);
        if self.data == Data::ThrownAway {
            initdb.arg("--no-sync");
        }
        run("initdb", initdb, "")?;
        let mut single = self
            .programs
            .command(self.programs.postgres.join("postgres"), "KILL");
        single.args(["--single", "-D"]).arg(&new).arg("postgres");
        run("postgres --single", single, "CREATE DATABASE tideline\n")?;
        fs::rename(&new, home).map_err(at(home))
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Says which path or program an operating system's refusal is about.
fn at(what: impl AsRef<Path>) -> impl FnOnce(io::Error) -> ServicesError {
    let what = what.as_ref().display().to_string();
    move |source| ServicesError::Io { what, source }
}

/// Takes the directory's lock, which the kernel releases however we end, and writes our id down for the next one.
fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK);
    let open = OpenOptions::new()
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .open(&path);
    let mut file = open.map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid).map_err(at(&path))?;
            return Err(ServicesError::InUse {
                dir: dir.to_owned(),
                pid,
            });
        }
        Err(TryLockError::Error(error)) => return Err(at(&path)(error)),
    }
    file.set_len(0)
        .and_then(|()| write!(file, "{}", std::process::id()))
        .map_err(at(&path))?;
    Ok(file)
}

/// Whether Redis lets us in and answers.
fn pongs(port: u16, password: &str) -> io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    write!(stream, "AUTH {password}\r\nPING\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"+OK\r\n+PONG\r\n")
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(dir)(error)),
        _ => Ok(()),
    }
}
