//! Order, commit and delivery of messages, and the rules under the writer's locks. Independent of HTTP.

pub mod admission;
pub mod auth;
pub mod batching;
pub mod delivery;
pub mod error;
pub mod lifecycle;
pub mod media;
pub mod presence;
pub mod reading;
pub mod search;
pub mod waiting;
pub mod writer;
