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
mod conversations;
mod dev;
mod devices;
mod errors;
mod faults;
mod inbox;
mod messages;
mod nodes;
mod notices;
mod openapi;
mod operations;
mod partitions;
mod tidy;
mod tokens;
mod unread;
mod writer;
