//! Blocks in PostgreSQL.

pub mod blocks;
