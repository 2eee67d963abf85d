//! PostgreSQL: the data-access layer, and the statements of each area.

mod access;
pub mod desk;
pub mod identity;
pub mod media;
pub mod messaging;
pub mod operations;
pub mod people;
mod pool;
pub mod search;
mod sql;
pub mod sync;
mod types;

pub use access::{Connection, DEADLINE, DbSession, Failure, Pg, Usage, WAITING, Waiting};
pub use pool::stop_connecting;
pub use types::RowHandle;
