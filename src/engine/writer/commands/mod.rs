//! The commands of the writer, a file each.

pub mod mark_read;
pub mod send;
