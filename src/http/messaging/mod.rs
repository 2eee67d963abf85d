//! Endpoints of conversations, members and messages.

pub mod bans;
pub mod changes;
pub mod conversations;
pub mod members;
pub mod mentions;
pub mod messages;
pub mod reactions;
pub mod receipts;
