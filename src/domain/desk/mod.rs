//! Service desks: customers write to a desk, and its staff answers in its name.

pub mod desks;
pub mod seats;
