//! Endpoints of service desks.

pub mod desks;
pub mod seats;
