//! Rate limits that the nodes share through Redis.

pub mod rate_limits;
