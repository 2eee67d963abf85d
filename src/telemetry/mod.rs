//! What a process reports about itself: its metrics, and the writer of its log.

pub mod log_writer;
mod metrics;

pub use metrics::{Metrics, MetricsError, Route};
