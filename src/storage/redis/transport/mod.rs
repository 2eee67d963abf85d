//! Connections to Redis: servers, circuit breakers, slots of a cluster.

pub mod server;
pub mod slots;
