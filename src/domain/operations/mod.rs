//! Verbs for operators and monitoring: health, metrics, diagnostics, retention.

pub mod diagnostics;
pub mod expiry;
pub mod health;
pub mod partitions;
pub mod retention;
