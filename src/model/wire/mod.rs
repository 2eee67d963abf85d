//! The types of requests and responses. A rename here changes the API.

pub mod content;
pub mod conversation;
pub mod entry;
pub mod member;
pub mod message;
pub mod reaction;
pub mod receipt;
pub mod unread;
pub mod user;
pub mod violation;
