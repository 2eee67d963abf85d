//! Conversations, members and the archive in PostgreSQL.

pub mod archive;
pub mod bans;
pub(in crate::storage::pg) mod content;
pub mod conversations;
pub mod members;
pub mod mentions;
pub mod reactions;
pub mod states;
pub mod uniqueness_keys;
