//! Endpoints of accounts, sessions and devices.

pub mod account_ends;
pub mod accounts;
pub mod devices;
