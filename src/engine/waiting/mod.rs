//! Waits: the registry, the queries of inbox heads, and the caches that save queries.

pub mod access_cache;
pub mod announced_changes;
pub mod delivered;
pub mod diagnostic_slots;
pub mod head_cache;
pub mod head_query;
pub mod read_moves;
pub mod reconcile;
pub mod registry;
pub mod total_cache;
pub mod typing;
pub mod typing_stop;
