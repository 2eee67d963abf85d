//! Endpoints of conversations, members and messages.

pub mod bans;
pub mod changes;
pub mod conversations;
pub mod members;
pub mod messages;
pub mod receipts;
