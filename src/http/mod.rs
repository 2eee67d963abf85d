//! The only floor that knows actix-web (and `server`, which starts it). A handler is three moves: parse, one verb of the domain, shape.

pub mod identity;
pub mod kit;
pub mod messaging;
pub mod openapi;
pub mod operations;
pub mod pages;
pub mod people;
pub mod routes;
pub mod sync;
pub mod transport;
