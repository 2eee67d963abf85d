//! Endpoints of profiles, relations and the search for people.

pub mod blocks;
pub mod contact_requests;
pub mod contacts;
pub mod presence;
pub mod privacy;
pub mod profiles;
pub mod search;
