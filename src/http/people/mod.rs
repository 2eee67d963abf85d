//! Endpoints of blocks and of the search for people.

pub mod blocks;
pub mod search;
