//! Plain values: what travels between the floors and over the wire. No I/O, no clock, no environment; whatever is true of
//! a value alone is said here, once. The types that clients see derive their JSON and their OpenAPI schema from one
//! definition, so that the two cannot differ (docs/decisions/0003).

pub mod account;
pub mod content;
pub mod conversation;
pub mod events;
pub mod ids;
pub mod inbox;
pub mod input;
pub mod member;
pub mod message;
pub mod name;
pub mod page;
pub mod rate_limit;
pub mod strict;
pub mod time;
pub mod unread;
pub mod validators;
pub mod violation;
