//! The integration tests, one file per noun, on real PostgreSQL and Redis. `tests/support` is the harness.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::allow_attributes
)]

#[path = "../support/mod.rs"]
mod support;

mod conversations;
mod dev;
mod faults;
mod inbox;
mod messages;
mod notices;
mod partitions;
mod unread;
mod writer;
