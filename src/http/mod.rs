//! The only floor that knows actix-web (and `server`, which starts it). A handler is three moves: parse, one verb of the domain, shape.

pub mod accounts;
pub mod conversations;
pub mod devices;
pub mod docs;
mod extract;
pub mod inbox;
pub mod layer;
pub mod messages;
pub mod notices;
pub mod openapi;
pub mod problem;
pub mod routes;
pub mod service;
mod strict;
pub mod unread;
