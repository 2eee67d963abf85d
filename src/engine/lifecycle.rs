//! The state of a node from its start to its end.

use crate::engine::waiting::diagnostic_slots::DiagnosticSlots;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Instant;
use tokio::sync::Mutex;

/// What a node last found of PostgreSQL and Redis.
pub struct Dependencies {
    /// When it was found.
    pub at: Instant,
    /// Why PostgreSQL cannot be used, in sentences.
    pub reasons: Vec<String>,
    /// Redis answered.
    pub redis: bool,
}

/// The handle for a node's own state.
#[derive(Default)]
pub struct Lifecycle {
    /// Inbox partitions exist without a gap until then, in seconds since 1970.
    pub partitions_until: AtomicI64,
    /// What the last readiness check found.
    pub dependencies: Mutex<Option<Dependencies>>,
    /// The diagnostic waits.
    pub diagnostics: DiagnosticSlots,
    /// The node is about to end.
    pub draining: AtomicBool,
}

impl Lifecycle {
    /// Begins the drain.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.diagnostics.end();
    }

    /// The node is about to end.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}
