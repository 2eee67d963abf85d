//! Redis: fast copies of data from PostgreSQL, and signals between nodes.

pub mod admission;
pub mod client;
pub mod sync;
pub mod transport;
