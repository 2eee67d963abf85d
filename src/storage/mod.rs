//! The only floor that knows SQL, Redis and the store of media. PostgreSQL is the source of truth; all data in Redis can be deleted at any
//! time and rebuilt from PostgreSQL.

pub mod error;
pub mod objects;
pub mod pg;
pub mod redis;
