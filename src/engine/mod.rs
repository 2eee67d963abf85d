//! How messages are ordered, committed and delivered, and the rules that hold under the writer's locks. Knows no endpoint.

pub mod admission;
pub mod auth;
pub mod batching;
pub mod delivery;
pub mod error;
pub mod lifecycle;
pub mod reading;
pub mod waiting;
pub mod writer;
