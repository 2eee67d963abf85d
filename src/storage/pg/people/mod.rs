//! Profiles and relations in PostgreSQL.

pub mod blocks;
pub mod contact_requests;
pub mod contacts;
pub mod privacy;
pub mod profiles;
