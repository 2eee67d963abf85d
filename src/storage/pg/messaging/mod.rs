//! Conversations, members and the archive in PostgreSQL.

pub mod archive;
pub mod bans;
pub mod conversations;
pub mod members;
pub mod uniqueness_keys;
