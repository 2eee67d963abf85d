//! Relations between people: blocks, and the search for people.

pub mod blocks;
pub mod search;
