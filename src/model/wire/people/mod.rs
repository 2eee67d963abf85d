//! Profiles, presence, privacy, contacts and requests.

pub mod contact;
pub mod presence;
pub mod privacy;
pub mod profile;
