//! Pages: the documentation and the browser client.

pub mod docs;
pub mod files;
pub mod web;
