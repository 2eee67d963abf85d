//! The only floor that knows SQL and Redis. PostgreSQL is the truth; everything in Redis can be thrown away at any
//! moment and rebuilt from it.

pub mod error;
pub mod pg;
pub mod redis;
