//! Tests whose result depends on the speed of the machine. They run alone and one after the other, since other load would make
//! them fail.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::allow_attributes
)]

#[path = "../support/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    reason = "the harness is shared with the other tests, which use all of it"
)]
mod support;

mod drain;
mod interference;
mod overload;
mod search;
mod waits;
