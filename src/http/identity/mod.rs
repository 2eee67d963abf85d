//! Endpoints of accounts, sessions and devices.

pub mod accounts;
pub mod devices;
