//! The lines of the log on their way to standard error: a thread writes those of a moment at once, since a system call for each
//! is what a request's line costs most.
//!
//! What a process that is killed had to say in its last moment is lost; one that ends writes all of it.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long lines wait for company.
const FLUSH_INTERVAL: Duration = Duration::from_millis(20);

/// How many bytes of them may wait; then whoever has more to say waits, as for a system call.
const MAX_BUFFERED: usize = 1 << 20;

/// Takes lines, and writes them a moment later.
#[derive(Clone)]
pub struct BufferedStderr(Arc<Shared>);

struct Shared {
    waiting: Mutex<Vec<u8>>,
    /// Something waits.
    news: Condvar,
    /// Nothing waits any more.
    room: Condvar,
}

impl BufferedStderr {
    /// Starts the thread, which lives as long as the process.
    pub fn start() -> io::Result<Self> {
        let lines = Self(Arc::new(Shared {
            waiting: Mutex::new(Vec::new()),
            news: Condvar::new(),
            room: Condvar::new(),
        }));
        let shared = Arc::clone(&lines.0);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || shared.run())?;
        Ok(lines)
    }

    /// Writes what waits, now.
    pub fn write_out(&self) {
        self.0.write_out(&mut Vec::new());
    }
}

impl Write for BufferedStderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.0.waiting();
        while waiting.len() >= MAX_BUFFERED {
            waiting = unpoisoned(self.0.room.wait(waiting));
        }
        if waiting.is_empty() {
            self.0.news.notify_one();
        }
        waiting.extend_from_slice(line);
        Ok(line.len())
    }

    /// Does nothing: `env_logger` flushes after each line.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Vec<u8>> {
        unpoisoned(self.waiting.lock())
    }

    fn run(&self) {
        let mut taken = Vec::new();
        loop {
            let mut waiting = self.waiting();
            while waiting.is_empty() {
                waiting = unpoisoned(self.news.wait(waiting));
            }
            drop(waiting);
            thread::sleep(FLUSH_INTERVAL);
            self.write_out(&mut taken);
        }
    }

    /// Writes what waits; `taken` is empty, and gets back what room there was.
    fn write_out(&self, taken: &mut Vec<u8>) {
        // Locked before anything is taken, so that who returns from here knows that all is written.
        let mut stderr = io::stderr().lock();
        mem::swap(&mut *self.waiting(), taken);
        self.room.notify_all();
        // There is nobody to tell that nobody can be told.
        let _written = stderr.write_all(taken);
        taken.clear();
    }
}

/// A line is appended whole or not at all, so what a panic left behind is sound.
fn unpoisoned<T>(result: Result<T, PoisonError<T>>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}
