//! Search in messages.

pub mod messages;
