//! Endpoints of profiles and relations.

pub mod blocks;
pub mod contact_requests;
pub mod contacts;
pub mod privacy;
pub mod profiles;
