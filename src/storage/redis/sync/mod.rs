//! Unread counts and notices in Redis.

pub mod channel;
pub mod devices;
pub mod notices;
pub mod presence;
pub mod unread;
