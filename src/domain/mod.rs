//! What Tideline does: a verb per function. Knows no status code and no table.

pub mod accounts;
pub mod bans;
pub mod blocks;
pub mod confirmed;
pub mod conversations;
pub mod devices;
pub mod diagnostics;
pub mod error;
pub mod heads;
pub mod inbox;
pub mod limits;
pub mod members;
pub mod messages;
pub mod notices;
pub mod overload;
pub mod passwords;
pub mod retention;
pub mod service;
pub mod shared;
pub mod swept;
pub mod tell;
pub mod tokens;
pub mod totals;
pub mod unread;
pub mod waiters;
pub mod writer;
