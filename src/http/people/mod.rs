//! Endpoints of blocks.

pub mod blocks;
