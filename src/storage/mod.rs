//! The only floor that knows SQL and Redis. PostgreSQL is the source of truth; all data in Redis can be deleted at any
//! time and rebuilt from PostgreSQL.

pub mod error;
pub mod pg;
pub mod redis;
