//! Accounts and devices in PostgreSQL.

pub mod account_ends;
pub mod accounts;
pub mod devices;
pub mod online;
pub mod usernames;
pub mod users;
