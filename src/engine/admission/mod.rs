//! Which requests are let in: rate limits and load shedding.

pub mod load_shedding;
pub mod rate_limits;

use crate::engine::admission::rate_limits::RateLimits;
use crate::engine::waiting::registry::WaitRegistry;
use crate::storage::pg::Pg;
use std::sync::Arc;

/// The handle for what limits requests.
pub struct Admission {
    /// The rate limits.
    pub limits: RateLimits,
    /// The most waits of one address.
    pub waits_per_address: u32,
    /// The most waits of this node: the other connections are for requests that are answered at once.
    pub most_waits: usize,
    /// PostgreSQL, for how many wait for a connection to it.
    pub pg: Pg,
    /// The waits of this node.
    pub waiters: Arc<WaitRegistry>,
}
