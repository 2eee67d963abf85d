//! The commands of the writer, a file each.

pub mod edit;
pub mod mark_read;
pub mod react;
pub mod recall;
pub mod send;
