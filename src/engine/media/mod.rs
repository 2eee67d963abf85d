//! The inspection of uploaded media: what they are, whether they are whole, and what is shown of them.
//!
//! Nothing here is decoded in the process of the node. A decoder cannot be cancelled there, an allocation that fails ends the
//! process, and a defect of a decoder would have the node's secrets in its reach. [`decoder`] starts a child process for each
//! upload, and [`decode`] is what the child does.

pub mod decode;
pub mod decoder;
pub mod protocol;
mod sniff;
mod strip;
mod variants;
