//! The state of a node: its dependencies, and whether it drains.

use crate::engine::waiting::diagnostic_slots::DiagnosticSlots;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Instant;
use tokio::sync::Mutex;

/// The result of a check of PostgreSQL and Redis.
pub struct Dependencies {
    /// The time of the check.
    pub at: Instant,
    /// Why PostgreSQL cannot be used, in sentences.
    pub reasons: Vec<String>,
    /// Redis answered.
    pub redis: bool,
}

/// The handle for a node's own state.
#[derive(Default)]
pub struct Lifecycle {
    /// Inbox partitions exist without a gap until this time, in seconds since 1970.
    pub partitions_until: AtomicI64,
    /// The result of the last readiness check.
    pub dependencies: Mutex<Option<Dependencies>>,
    /// The diagnostic waits.
    pub diagnostics: DiagnosticSlots,
    /// The node drains.
    pub draining: AtomicBool,
}

impl Lifecycle {
    /// Begins the drain.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.diagnostics.end();
    }

    /// Whether the node drains.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}
