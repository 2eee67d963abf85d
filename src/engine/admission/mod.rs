//! Admission of requests: rate limits and load shedding.

pub mod load_shedding;
pub mod rate_limits;

use crate::engine::admission::rate_limits::RateLimits;
use crate::engine::waiting::registry::WaitRegistry;
use crate::storage::pg::Pg;
use std::sync::Arc;

/// The handle for the limits of requests.
pub struct Admission {
    /// The rate limits.
    pub limits: RateLimits,
    /// The maximum number of waits of one address.
    pub waits_per_address: u32,
    /// The maximum number of waits of this node: the other connections are for requests that are answered immediately.
    pub max_waits: usize,
    /// PostgreSQL, for the number of requests that wait for a connection.
    pub pg: Pg,
    /// The waits of this node.
    pub waiters: Arc<WaitRegistry>,
}
