//! A server as a child process: launch, wait until ready, stop, kill, pause.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::process::{alive, end, freeze, kill, spawn, thaw, within};
use super::{Result, ServicesError, at};

/// The time until a server must answer, including recovery after a crash.
const START_LIMIT: Duration = Duration::from_secs(60);

/// PostgreSQL, its standby or Redis.
#[derive(Debug)]
pub(super) struct ServerProcess {
    name: &'static str,
    /// The signal for a fast, orderly shutdown.
    pub(super) quit: &'static str,
    pub(super) home: PathBuf,
    log: PathBuf,
    pub(super) port: u16,
    /// [`None`] while the server is stopped.
    child: Mutex<Option<Child>>,
}

impl ServerProcess {
    /// Ends a server that a former run left, and chooses the port.
    pub(super) fn new(
        name: &'static str,
        quit: &'static str,
        pid_file: &str,
        dir: &Path,
    ) -> Result<Self> {
        let home = dir.join(name);
        end_leftover(&home, &home.join(pid_file), quit)?;
        let port = port(&dir.join(format!("{name}.port")))?;
        let log = dir.join(format!("{name}.log"));
        Ok(Self {
            name,
            quit,
            home,
            log,
            port,
            child: Mutex::new(None),
        })
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pid(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    /// Spawns the server unless it runs, and waits until `ready` returns true for its process id.
    pub(super) fn launch(&self, mut command: Command, ready: impl Fn(u32) -> bool) -> Result<()> {
        let mut slot = self.child();
        if let Some(child) = slot.as_mut()
            && child.try_wait().map_err(at(self.name))?.is_none()
        {
            return Ok(());
        }
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(at(&self.log))?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(at(&self.log))?)
            .stderr(log);
        let child = slot.insert(spawn(command).map_err(at(self.name))?);
        let mut ended = None;
        let settled = within(START_LIMIT, || {
            ended = child.try_wait().ok().flatten();
            ended.is_some() || ready(child.id())
        });
        let what = match ended {
            Some(status) => format!("ended instead of starting ({status})"),
            None if settled => return Ok(()),
            None => format!("did not answer within {} seconds", START_LIMIT.as_secs()),
        };
        let text = fs::read(&self.log).map_err(at(&self.log))?;
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().rev().take(8).collect();
        let tail = lines.into_iter().rev().collect::<Vec<_>>().join("\n");
        Err(ServicesError::NotReady {
            server: self.name,
            what,
            log: self.log.clone(),
            tail,
        })
    }

    pub(super) fn stop(&self) {
        if let Some(mut child) = self.child().take() {
            end(child.id(), self.quit);
            reap(self.name, &mut child);
        }
    }

    pub(super) fn kill(&self) {
        if let Some(mut child) = self.child().take() {
            kill(child.id());
            reap(self.name, &mut child);
        }
    }

    pub(super) fn pause(&self) {
        if let Some(pid) = self.pid() {
            freeze(pid);
        }
    }

    pub(super) fn resume(&self) {
        if let Some(pid) = self.pid() {
            thaw(pid);
        }
    }
}

/// The port of the last run if it is still free, otherwise a new one.
///
/// The port is below the ephemeral range of the kernel (from 32768). While a server is down, a client that keeps connecting to a
/// port in that range would at some time get it as its own source port, connect to itself, and block the port for the server. The
/// default ports of both servers are not in the range of [`port`] either.
pub(super) fn port(file: &Path) -> Result<u16> {
    let last = fs::read_to_string(file)
        .ok()
        .and_then(|text| text.parse().ok());
    let fresh = std::iter::repeat_with(|| rand::random_range(15_000..32_000)).take(1_000);
    let free = last
        .into_iter()
        .chain(fresh)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    let port: u16 = free.ok_or_else(|| at("127.0.0.1")(io::ErrorKind::AddrInUse.into()))?;
    fs::write(file, port.to_string()).map_err(at(file))?;
    Ok(port)
}

/// Ends a server that a former run left. The pid file is not enough, because ids are reused: the command line of the process must
/// name this data. If it does not, the file is removed, because PostgreSQL refuses to start while any process of the same user has
/// the id in the file.
fn end_leftover(home: &Path, pid_file: &Path, quit: &str) -> Result<()> {
    let text = match fs::read_to_string(pid_file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        text => text.map_err(at(pid_file))?,
    };
    let Some(pid) = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok())
    else {
        return Ok(());
    };
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    if arguments
        .split(|byte| *byte == 0)
        .any(|argument| Path::new(OsStr::from_bytes(argument)).starts_with(home))
    {
        log::warn!(
            "process {pid} of a former run still serves {}: ending it",
            home.display()
        );
        end(pid, quit);
    } else if alive(pid) {
        fs::remove_file(pid_file).map_err(at(pid_file))?;
    }
    Ok(())
}

/// Waits for a child that has ended, so that it does not stay a zombie.
fn reap(name: &str, child: &mut Child) {
    if let Err(error) = child.wait() {
        log::warn!("waiting for {name}: {error}");
    }
}
