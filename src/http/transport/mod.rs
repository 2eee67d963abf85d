//! The connections of clients: parked waits, the budget of large bodies, chunked bodies.

pub mod body_budget;
pub mod chunked;
pub mod connection;
mod parked;
pub mod parking;
pub mod request_heads;
