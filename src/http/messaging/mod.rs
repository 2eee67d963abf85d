//! Endpoints of conversations, members and messages.

pub mod bans;
pub mod changes;
pub mod conversations;
pub mod drafts;
pub mod hidden;
pub mod members;
pub mod mentions;
pub mod messages;
mod new_message;
pub mod pins;
pub mod reactions;
pub mod read_marks;
pub mod receipts;
pub mod scheduled;
pub mod sends;
pub mod settings;
