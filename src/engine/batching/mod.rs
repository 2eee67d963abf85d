//! Batched queries, and bulk replies.

pub mod query_batcher;
pub mod reply;
