//! Accounts, sessions and devices.

pub mod account_ends;
pub mod accounts;
pub mod devices;
pub mod revocations;
pub mod seeding;
pub mod sessions;
