//! Media: their rows, the parts of uploads, what users have reserved, the references of messages, and objects to delete.
//!
//! A transaction locks the usage of an owner, then rows of media in ascending order of owner and id, and reads them afterwards. Sends only
//! share the locks of media rows.

pub mod collection;
pub mod deletions;
pub mod references;
pub mod rows;
pub mod uploads;
pub mod usage;
