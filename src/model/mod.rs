//! Plain values that pass between the floors and over the wire, with the rules that hold for a value alone. No I/O, no clock, no
//! environment. The types that clients see derive JSON and OpenAPI schema from one definition, so that the two cannot differ
//! (docs/decisions/0003).

pub mod account;
pub mod content;
pub mod events;
pub mod ids;
pub mod input;
pub mod message;
pub mod moved;
pub mod name;
pub mod page;
pub mod people;
pub mod rate_limit;
pub mod resync;
pub mod strict;
pub mod time;
pub mod unread;
pub mod validators;
pub mod window;
pub mod wire;
