//! Reads that many callers share: pages of inboxes, and unread counts.

pub mod inbox_pages;
pub mod unread_counts;
pub mod unread_totals;
