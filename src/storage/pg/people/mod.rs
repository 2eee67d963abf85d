//! Profiles, relations and the search for people in PostgreSQL.

pub mod blocks;
pub mod contact_requests;
pub mod contacts;
pub mod erasure;
pub mod presence;
pub mod privacy;
pub mod profiles;
pub mod search;
