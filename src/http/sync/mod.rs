//! Endpoints of inbox, notices and unread counts.

pub mod inbox;
pub mod notices;
pub mod typing;
pub mod unread;
