//! Waits: the registry, the queries of inbox heads, and the caches that save queries.

pub mod delivered;
pub mod diagnostic_slots;
pub mod head_cache;
pub mod head_query;
pub mod reconcile;
pub mod registry;
pub mod told_changes;
pub mod total_cache;
