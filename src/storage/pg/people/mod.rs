//! Blocks and the search for people in PostgreSQL.

pub mod blocks;
pub mod search;
