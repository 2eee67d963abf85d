//! Relations between people: blocks.

pub mod blocks;
