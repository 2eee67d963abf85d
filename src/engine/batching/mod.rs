//! Batched queries, and replies to many callers at once.

pub mod query_batcher;
pub mod reply;
