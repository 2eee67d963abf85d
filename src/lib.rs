//! Tideline: a message backend for chat over HTTP long-poll, PostgreSQL and Redis.
//!
//! The floors, each importing only from those below it (`tests/architecture.rs` proves it):
//!
//! ```text
//! main → cli → dev → node → http ┐
//!                         → tasks ┴→ domain → engine → storage → model
//! ```
//!
//! All floors may import `config`, `clock` and `telemetry`. `docs/ARCHITECTURE.md` describes a send, a wait and a fetch.

pub mod cli;
pub mod clock;
pub mod config;
#[cfg(feature = "dev")]
pub mod dev;
pub mod domain;
pub mod engine;
pub mod http;
pub mod model;
pub mod node;
pub mod storage;
pub mod tasks;
pub mod telemetry;
