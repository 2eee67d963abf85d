//! Accounts and devices in PostgreSQL.

pub mod accounts;
pub mod devices;
pub mod users;
