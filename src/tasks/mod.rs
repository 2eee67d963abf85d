//! Background tasks. Each is a loop that ends when the node stops. After a failure it continues with the next round.

pub mod account_erasures;
pub mod auditor;
pub mod delivered;
pub mod erasures;
pub mod expiry;
pub mod media;
pub mod notices;
pub mod partitions;
pub mod presence;
pub mod read_moves;
pub mod revocations;
pub mod scheduled;
pub mod search;
pub mod sweep;
pub mod typing;
