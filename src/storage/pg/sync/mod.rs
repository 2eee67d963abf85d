//! Inboxes, their partitions and unread counts in PostgreSQL.

pub mod delivered;
pub mod inbox;
pub mod partitions;
pub mod typing;
pub mod unread;
pub mod watched;
