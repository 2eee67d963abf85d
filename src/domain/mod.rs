//! The operations of Tideline, a function each. Independent of HTTP status codes and SQL tables.

pub mod desk;
pub mod identity;
pub mod media;
pub mod messaging;
pub mod operations;
pub mod people;
pub mod search;
pub mod sync;
