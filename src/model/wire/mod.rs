//! The types of requests and responses. A rename here changes the API.

pub mod content;
pub mod conversation;
pub mod desk;
pub mod draft;
pub mod entry;
pub mod media;
pub mod member;
pub mod message;
pub mod message_ref;
pub mod people;
pub mod reaction;
pub mod receipt;
pub mod scheduled;
pub mod search;
pub mod settings;
pub mod signals;
pub mod unread;
pub mod user;
pub mod violation;
