//! A private PostgreSQL and Redis, run as child processes.
//!
//! `tideline dev` keeps their data in `./.tideline`; the tests delete theirs. [`Services::start`] locks a directory for this
//! process, ends servers that a crash left running in it, creates the database cluster on the first run, and returns when both
//! servers answer. They listen on 127.0.0.1 only, each at a port of its own, with one random password. `fsync`,
//! `synchronous_commit` and `full_page_writes` are on, as in production: that is PostgreSQL's default, and a node does not start
//! if one of them is off.
//!
//! The children end with this process. [`Services::stop`] and `Drop` end them in order; if this process is killed, the kernel
//! sends them a signal (`setpriv --pdeathsig`). They have process groups of their own, so that Ctrl-C in the terminal reaches
//! only this process, which then stops them in order. The next start ends a server that still runs.
//!
//! PostgreSQL refuses to run as root. As root, both servers run as the user `postgres`. If that user cannot reach the wanted
//! directory (a checkout below `/root`), the data is below `/var/lib/tideline-dev`: [`Services::data_dir`] returns the place.
//!
//! The directory contains `tideline.lock`, `password`, `postgres/`, `postgres.log`, `postgres.port`, and the same for Redis; with
//! TLS, which the tests turn on, also `server.crt`, `server.key` and `redis-tls.port`.

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
use self::server::{ServerProcess, port};

/// Locked by the process that runs the services. A directory with this file was created by this module.
const LOCK: &str = "tideline.lock";

/// The certificate of both servers.
const CERTIFICATE: &str = "server.crt";

/// The private key of [`CERTIFICATE`].
const KEY: &str = "server.key";

/// Why the services did not start. The texts are for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum ServicesError {
    /// No directory has both `initdb` and `postgres`.
    #[error(
        "PostgreSQL's server programs (initdb, postgres) were not found; run `.ci/install`, or install the package \
         `postgresql` (Fedora: `postgresql-server`, macOS: `brew install postgresql` and put its bin directory on PATH)"
    )]
    NoPostgres,
    /// Neither `redis-server` nor its fork `valkey-server` is installed.
    #[error(
        "`redis-server` was not found; run `.ci/install`, or install the package `redis-server`, `redis` or `valkey`"
    )]
    NoRedis,
    /// `setpriv` is missing, or is one without `--pdeathsig`.
    #[error("`setpriv` was not found; run `.ci/install`, or install the package `util-linux`")]
    NoSetpriv,
    /// This process is root, and there is no user to run PostgreSQL as.
    #[error(
        "PostgreSQL does not run as root, and there is no user `postgres` to run it as; create one, or start as another user"
    )]
    NoUser,
    /// Another process holds the directory's lock.
    #[error("the services in {dir} are already run by process {pid}; stop that one first")]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The id of the process that holds the lock.
        pid: String,
    },
    /// The directory has files of others.
    #[error("{0} has other files in it; name a new or empty directory")]
    NotOurs(PathBuf),
    /// As root: `postgres` can use neither the wanted directory nor the fallback.
    #[error("the user `postgres` can reach neither the wanted directory nor {0}")]
    Unreachable(PathBuf),
    /// A program returned an error.
    #[error("{program} failed: {said}")]
    Failed {
        /// Its name.
        program: &'static str,
        /// Its standard error.
        said: String,
    },
    /// A server ended during its start, or did not answer in time.
    #[error("{server} {what}; the end of {log} says:\n{tail}", log = .log.display())]
    NotReady {
        /// The name of the server.
        server: &'static str,
        /// What it did instead, as the rest of the sentence.
        what: String,
        /// The path of its log.
        log: PathBuf,
        /// The last lines of its log.
        tail: String,
    },
    /// A call of the operating system failed.
    #[error("{what}: {source}")]
    Io {
        /// The path or program.
        what: String,
        /// The error.
        source: io::Error,
    },
}

type Result<T> = std::result::Result<T, ServicesError>;

/// What happens to the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// It is kept for the next start.
    Kept,
    /// The servers start empty, and the stop removes the whole directory.
    ThrownAway,
}

/// What both servers use for TLS, in the PEM format.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The certificate.
    pub certificate: &'a str,
    /// Its private key.
    pub key: &'a str,
}

/// The two running servers. Each method takes `&self`, so that tests can share them.
#[derive(Debug)]
pub struct Services {
    dir: PathBuf,
    data: Data,
    programs: Programs,
    password: String,
    postgres: ServerProcess,
    redis: ServerProcess,
    /// The port of Redis for TLS, if there is an identity. PostgreSQL has TLS on its only port.
    redis_tls: Option<u16>,
    /// Kept open, because closing it releases the lock.
    _lock: File,
}

impl Services {
    /// Starts both servers with their data in `dir`, which is created if it is missing, and waits until they answer.
    pub fn start(dir: &Path, data: Data) -> Result<Self> {
        Self::start_as(dir, data, None)
    }

    /// Like [`Services::start`]. With an identity, the servers also accept clients with TLS.
    pub fn start_as(dir: &Path, data: Data, identity: Option<Identity<'_>>) -> Result<Self> {
        let programs = Programs::find()?;
        let dir = programs.place(dir)?;
        let lock = lock(&dir)?;
        let password = programs.password(&dir.join("password"))?;
        let postgres = ServerProcess::new("postgres", "INT", "postmaster.pid", &dir)?;
        let redis = ServerProcess::new("redis", "TERM", "redis.pid", &dir)?;
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

    /// The libpq URL of the database `tideline`, for the superuser `tideline`.
    pub fn database_url(&self) -> String {
        self.database_url_of("tideline")
    }

    /// The libpq URL of another database of this server.
    pub fn database_url_of(&self, database: &str) -> String {
        let (password, port) = (&self.password, self.postgres.port);
        format!(
            "postgres://tideline:{password}@127.0.0.1:{port}/{database}\
             ?connect_timeout=3"
        )
    }

    /// The URL of Redis. It names the user, because `redis-cli` reads a missing name as an empty one.
    pub fn redis_url(&self) -> String {
        format!(
            "redis://default:{}@127.0.0.1:{}/",
            self.password, self.redis.port
        )
    }

    /// The URL of Redis with TLS, if there is an identity. Its host is a name, because a certificate is for a name.
    pub fn rediss_url(&self) -> Option<String> {
        let url = |port| format!("rediss://default:{}@localhost:{port}/", self.password);
        self.redis_tls.map(url)
    }

    /// The directory of the data, which as root may differ from the wanted one.
    pub fn data_dir(&self) -> &Path {
        &self.dir
    }

    /// Shuts both servers down, waits for them, and kills them after 10 seconds. A second call does nothing.
    pub fn stop(&self) {
        self.postgres.stop();
        self.redis.stop();
        if self.data == Data::ThrownAway
            && let Err(error) = remove(&self.dir)
        {
            log::warn!("{error}");
        }
    }

    /// Starts PostgreSQL on the same port and data, unless it runs.
    pub fn start_postgres(&self) -> Result<()> {
        self.launch_postgres(&self.postgres)
    }

    /// Starts PostgreSQL on the port and data of `server`, and waits until it answers.
    fn launch_postgres(&self, server: &ServerProcess) -> Result<()> {
        let home = &server.home;
        let mut command = self
            .programs
            .command(self.programs.postgres.join("postgres"), server.quit);
        command.arg("-D").arg(home);
        for setting in [
            "listen_addresses=127.0.0.1",
            // No sockets: their path may have 107 bytes, and a directory below a checkout may have more.
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
        // pg_ctl waits for the same status, the eighth line of the pid file.
        server.launch(command, |pid| {
            let file = fs::read_to_string(home.join("postmaster.pid")).unwrap_or_default();
            file.lines().next() == Some(&pid.to_string())
                && file
                    .lines()
                    .nth(7)
                    .is_some_and(|line| line.trim() == "ready")
        })
    }

    /// Starts Redis, empty, on the same port, unless it runs.
    pub fn start_redis(&self) -> Result<()> {
        let (home, port, password) = (&self.redis.home, self.redis.port, &self.password);
        fs::create_dir_all(home).map_err(at(home))?;
        self.programs.give(home, 0o700)?;
        // A file, because all users can read the arguments. The title of the process is not changed, so that its command line
        // names this file: `end_leftover` looks for it.
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

    /// Kills all processes of PostgreSQL at one instant and waits until they are gone: a new server refuses to start while an old
    /// backend lives.
    pub fn kill_postgres(&self) {
        self.postgres.kill();
    }

    /// Kills Redis, which loses its data.
    pub fn kill_redis(&self) {
        self.redis.kill();
    }

    /// Suspends all processes of PostgreSQL: connections stay open, and nothing answers.
    pub fn pause_postgres(&self) {
        self.postgres.pause();
    }

    /// Resumes PostgreSQL after a pause.
    pub fn resume_postgres(&self) {
        self.postgres.resume();
    }

    /// Suspends Redis: the kernel still accepts connections, and nothing answers.
    pub fn pause_redis(&self) {
        self.redis.pause();
    }

    /// Resumes Redis after a pause.
    pub fn resume_redis(&self) {
        self.redis.resume();
    }

    /// Creates the cluster and the database in another directory and renames it, so that an interrupted start leaves no partial
    /// cluster.
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

/// Adds the path or program to an error of the operating system.
fn at(what: impl AsRef<Path>) -> impl FnOnce(io::Error) -> ServicesError {
    let what = what.as_ref().display().to_string();
    move |source| ServicesError::Io { what, source }
}

/// Locks the directory and writes the id of this process into the lock file. The kernel releases the lock when the process ends.
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

/// Whether Redis accepts the password and answers a PING.
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
