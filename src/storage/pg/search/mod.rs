//! The index of the search. It says which messages may match.

pub mod blocks;
pub mod candidates;
