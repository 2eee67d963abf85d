//! Synchronization of devices: inbox, notices, unread counts.

pub mod delivered;
pub mod inbox;
pub mod notices;
pub mod position;
pub mod presence;
pub mod read_moves;
pub mod typing;
pub mod unread;
