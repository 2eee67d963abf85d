//! Conversations, their members and their messages.

pub mod bans;
pub mod changes;
pub mod conversations;
mod group_change;
pub mod members;
pub mod mentions;
pub mod messages;
pub mod reactions;
pub mod receipts;
