//! Service desks.

pub mod desks;
pub mod seats;
