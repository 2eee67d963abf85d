//! Child processes. They end with this process, get signals through the shell's `kill` (the crate forbids `unsafe`), and are looked
//! up in `/proc`. Without `/proc` (macOS) the servers run and stop, but leftovers of a crash are not found, and a kill or a pause
//! reaches only the parent.

use std::fs;
use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A server that takes longer to shut down is killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Spawns from one thread that runs until the process ends: the kernel sends the parent-death signal when the *thread* that spawned
/// a child ends, and the thread of a test ends with its test.
pub(super) fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static SPAWNER: LazyLock<Sender<Order>> = LazyLock::new(|| {
        let (orders, inbox) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                // The caller waits below; if it is gone, the thread continues for the others.
                answer.send(command.spawn()).unwrap_or_default();
            }
        });
        orders
    });
    let (answer, child) = channel();
    SPAWNER
        .send((command, answer))
        .map_err(|gone| io::Error::other(gone.to_string()))?;
    child.recv().map_err(io::Error::other)?
}

/// Asks a server to shut down, and kills it after [`STOP_LIMIT`].
pub(super) fn end(pid: u32, quit: &str) {
    signal(quit, &[pid]);
    thaw(pid);
    if !within(STOP_LIMIT, || !alive(pid)) {
        log::warn!(
            "process {pid} did not shut down within {} seconds: killing it",
            STOP_LIMIT.as_secs()
        );
        kill(pid);
    }
}

pub(super) fn kill(pid: u32) {
    let family = freeze(pid);
    signal("KILL", &family);
    within(STOP_LIMIT, || !family.iter().any(|pid| alive(*pid)));
}

/// Suspends a server and its children, and returns their ids. The parent is first, so that it cannot fork after the children are
/// listed.
pub(super) fn freeze(pid: u32) -> Vec<u32> {
    let still = |pids: &[u32]| {
        signal("STOP", pids);
        let running = |pid: &u32| matches!(stat(*pid), Some(('R' | 'S' | 'D', _)));
        within(STOP_LIMIT, || !pids.iter().any(running));
    };
    still(&[pid]);
    let mut family = children(pid);
    still(&family);
    family.push(pid);
    family
}

pub(super) fn thaw(pid: u32) {
    let mut family = children(pid);
    family.push(pid);
    signal("CONT", &family);
}

/// Sends a signal to the processes. Those that no longer exist are ignored.
fn signal(name: &str, pids: &[u32]) {
    let mut kill = Command::new("sh");
    kill.args(["-c", "kill -s \"$@\"", "sh", name])
        .args(pids.iter().map(u32::to_string));
    if let Err(error) = kill.stderr(Stdio::null()).status() {
        log::warn!("no shell to send a signal with: {error}");
    }
}

/// Polls a condition every 5 ms, and returns whether it held within the limit.
pub(super) fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(_, of)| of == parent))
        .collect()
}

/// Whether a process runs. A zombie has released its resources and does not count: the first process of many containers never
/// reaps it.
pub(super) fn alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// The state of a process and its parent. They follow the name of the command, which may contain spaces and brackets.
fn stat(pid: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
