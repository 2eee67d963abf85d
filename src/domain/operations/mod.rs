//! What operators and monitors ask: health, metrics, diagnostics, retention.

pub mod diagnostics;
pub mod health;
pub mod partitions;
pub mod retention;
