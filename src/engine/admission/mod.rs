//! Who is let in: rate limits and load shedding.

pub mod load_shedding;
pub mod rate_limits;
