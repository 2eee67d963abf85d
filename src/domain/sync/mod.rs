//! How a device stays in sync: inbox, notices, unread counts.

pub mod inbox;
pub mod notices;
pub mod position;
pub mod unread;
