//! How messages are ordered, committed and delivered, and the rules that hold under the writer's locks. Knows no endpoint.

pub mod admission;
pub mod auth;
pub mod batching;
pub mod error;
pub mod handles;
pub mod reading;
pub mod waiting;
pub mod writer;
