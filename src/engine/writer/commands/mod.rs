//! The commands of the writer, a file each.

mod attached;
pub mod clear;
pub mod edit;
pub mod mark_read;
pub mod mark_unread;
pub mod pin;
pub mod react;
pub mod recall;
pub mod send;
