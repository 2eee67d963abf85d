//! Writes the lines of the log to standard error, many with one system call: at one call a line, the call is the largest cost of
//! the line of a request.
//!
//! A process that is killed loses the lines of the last `FLUSH_INTERVAL`; one that ends by itself writes all lines.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The time from the first line in the empty buffer to the write.
const FLUSH_INTERVAL: Duration = Duration::from_millis(20);

/// Bytes in the buffer. At this size a thread that logs waits for the next write.
const MAX_BUFFERED: usize = 1 << 20;

/// Standard error behind a buffer that a thread of its own writes out.
#[derive(Clone)]
pub struct BufferedStderr(Arc<Buffer>);

struct Buffer {
    bytes: Mutex<Vec<u8>>,
    /// The buffer is no longer empty.
    filled: Condvar,
    /// The buffer was emptied.
    emptied: Condvar,
}

impl BufferedStderr {
    /// Starts the thread, which runs until the process ends.
    pub fn start() -> io::Result<Self> {
        let buffer = Arc::new(Buffer {
            bytes: Mutex::new(Vec::new()),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        });
        let writer = Arc::clone(&buffer);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.run())?;
        Ok(Self(buffer))
    }

    /// Writes the whole buffer before it returns.
    pub fn write_out(&self) {
        self.0.write_out(&mut Vec::new());
    }
}

impl Write for BufferedStderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut bytes = self.0.lock();
        while bytes.len() >= MAX_BUFFERED {
            bytes = unpoisoned(self.0.emptied.wait(bytes));
        }
        if bytes.is_empty() {
            self.0.filled.notify_one();
        }
        bytes.extend_from_slice(line);
        Ok(line.len())
    }

    /// Does nothing: `env_logger` flushes after each line.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Buffer {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        unpoisoned(self.bytes.lock())
    }

    fn run(&self) {
        let mut spare = Vec::new();
        loop {
            let mut bytes = self.lock();
            while bytes.is_empty() {
                bytes = unpoisoned(self.filled.wait(bytes));
            }
            drop(bytes);
            thread::sleep(FLUSH_INTERVAL);
            self.write_out(&mut spare);
        }
    }

    /// Writes the buffer and leaves `spare`, which is empty, in its place. Afterwards `spare` has the allocation of the buffer.
    fn write_out(&self, spare: &mut Vec<u8>) {
        // Locked before the bytes are taken: a caller that returns knows that all earlier lines are written.
        let mut stderr = io::stderr().lock();
        mem::swap(&mut *self.lock(), spare);
        self.emptied.notify_all();
        // Nothing can be done if standard error itself fails.
        let _written = stderr.write_all(spare);
        spare.clear();
    }
}

/// A line is appended whole or not at all, so the buffer is valid after a panic.
fn unpoisoned<T>(result: Result<T, PoisonError<T>>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}
