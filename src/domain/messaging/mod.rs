//! Conversations, their members and their messages.

pub mod bans;
pub mod changes;
pub mod conversations;
pub mod drafts;
mod group_change;
pub mod hidden;
pub mod members;
pub mod mentions;
pub mod messages;
mod own_change;
pub mod pins;
pub mod reactions;
pub mod receipts;
pub mod scheduled;
pub mod sends;
pub mod settings;
