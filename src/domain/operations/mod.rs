//! Verbs for operators and monitoring: health, metrics, diagnostics, retention.

pub mod diagnostics;
pub mod health;
pub mod partitions;
pub mod retention;
