//! The only floor that knows actix-web (and `server`, which starts it). A handler is three moves: parse, one verb of the domain, shape.

pub mod accounts;
mod address;
pub mod bans;
pub mod blocks;
mod chunked;
pub mod conversations;
mod cors;
pub mod devices;
pub mod diagnostics;
pub mod docs;
mod extract;
pub mod inbox;
mod kinds;
pub mod large;
pub mod layer;
pub mod members;
pub mod messages;
pub mod metrics;
pub mod notices;
pub mod openapi;
pub mod parking;
pub mod problem;
pub mod routes;
mod security;
pub mod service;
pub mod unread;
pub mod web;
