//! Redis: fast copies of what PostgreSQL knows, and signals between nodes.

pub mod admission;
pub mod client;
pub mod sync;
pub mod transport;
