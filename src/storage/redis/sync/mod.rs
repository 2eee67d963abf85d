//! Unread counts and notices in Redis.

pub mod notices;
pub mod unread;
