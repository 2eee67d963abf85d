//! The HTTP API. Besides `node`, which starts the servers, only this floor uses actix-web. A handler parses its input, calls one
//! operation of the domain, and builds the response.

pub mod desk;
pub mod identity;
pub mod kit;
pub mod media;
pub mod messaging;
pub mod openapi;
pub mod operations;
pub mod pages;
pub mod people;
pub mod routes;
pub mod search;
pub mod sync;
pub mod transport;
