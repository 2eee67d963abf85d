//! Values of contacts and presence that no client sees.

pub mod contact;
pub mod presence;
