//! Background work. Each task is a loop that ends when the server stops, and that a failure only delays.

pub mod auditor;
pub mod notices;
pub mod partitions;
pub mod revocations;
pub mod sweep;
