//! What people decide about each other.

pub mod blocks;
