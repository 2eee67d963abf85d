//! Verbs for operators and monitoring: health, metrics, diagnostics, retention, the erasure of accounts.

pub mod account_erasure;
pub mod diagnostics;
pub mod expiry;
pub mod health;
pub mod partitions;
pub mod retention;
