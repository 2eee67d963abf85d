//! One server as a child: launched, waited for, stopped, killed, paused.

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

/// How long a server may take until it answers; recovery after a crash is part of that.
const START_LIMIT: Duration = Duration::from_secs(60);

/// One of the two servers.
#[derive(Debug)]
pub(super) struct Server {
    name: &'static str,
    /// The signal that asks it to shut down at once and in order.
    pub(super) quit: &'static str,
    pub(super) home: PathBuf,
    log: PathBuf,
    pub(super) port: u16,
    /// It is [`None`] while we keep it down.
    child: Mutex<Option<Child>>,
}

impl Server {
    /// Ends what a former run left and settles the port.
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

    /// Spawns the server unless it runs, and waits until `ready` says so of its process id.
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

/// The port of the last run if it is still free, else a new one.
///
/// It is taken from below the range that the kernel gives to outgoing connections (from 32768): while a server is down, a
/// client that keeps dialling a port in that range would sooner or later get it as its own, connect to itself and keep
/// the server from coming back. The default ports of both servers are outside of our range too.
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

/// Ends a server that a former run left behind. The pid file alone proves nothing, because numbers are used again: the
/// process must name our data on its command line. If it does not, the file goes, since PostgreSQL would take any living
/// process of our user with that number for itself and refuse to start.
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

/// Collects a child that has ended, so that it does not stay a zombie.
fn reap(name: &str, child: &mut Child) {
    if let Err(error) = child.wait() {
        log::warn!("waiting for {name}: {error}");
    }
}
