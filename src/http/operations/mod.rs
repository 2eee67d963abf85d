//! Endpoints of health, capabilities, metrics and diagnostics.

pub mod diagnostics;
pub mod health;
pub mod metrics;
