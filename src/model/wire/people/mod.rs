//! Profiles, privacy, contacts and requests.

pub mod contact;
pub mod privacy;
pub mod profile;
