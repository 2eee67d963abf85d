//! Endpoints of media that the server keeps.

pub mod avatars;
pub mod content;
pub mod links;
mod object_response;
pub mod part_body;
pub mod uploads;
