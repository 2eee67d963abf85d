//! Parked long-polls: who waits, the latest seq of each inbox, and the caches that spare queries.

pub mod diagnostic_slots;
pub mod head_cache;
pub mod head_query;
pub mod reconcile;
pub mod registry;
pub mod total_cache;
