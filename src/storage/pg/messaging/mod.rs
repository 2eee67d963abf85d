//! Conversations, members and the archive in PostgreSQL.

pub mod archive;
pub mod bans;
pub(in crate::storage::pg) mod content;
pub mod conversations;
pub mod drafts;
pub mod expiry;
pub mod groups;
pub mod hidden;
pub mod members;
pub mod mentions;
pub mod pins;
pub mod reactions;
pub mod scheduled;
pub mod settings;
pub mod states;
pub mod uniqueness_keys;
