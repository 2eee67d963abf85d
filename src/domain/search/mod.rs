//! Search in the messages of one's own conversations, and its index.

pub mod indexing;
pub mod messages;
