//! The integration tests, one file per noun, on real PostgreSQL and Redis. `tests/support` is the harness.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::allow_attributes
)]

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod authorization;
mod bans;
mod blocks;
mod cluster;
mod config;
mod conversations;
mod cors;
mod deploy;
mod dev;
mod devices;
mod diagnostics;
mod errors;
mod faults;
mod groups;
mod headers;
mod hostile;
mod inbox;
mod integrating;
mod large;
mod limits;
mod log;
mod members;
mod messages;
mod metrics;
mod names;
mod nodes;
mod notices;
mod openapi;
mod operations;
mod overload;
mod parking;
mod partitions;
mod passwords;
mod plans;
mod postman;
mod properties;
mod readiness;
mod retention;
mod secrets;
mod storage;
mod tls;
mod tokens;
mod transport;
mod unread;
mod violations;
mod web;
mod writer;
