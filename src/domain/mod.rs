//! What Tideline does: a verb per function. Knows no status code and no table.

pub mod identity;
pub mod messaging;
pub mod operations;
pub mod people;
pub mod sync;
