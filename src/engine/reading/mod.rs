//! Shared reads: pages of inboxes, unread counts and totals.

pub mod inbox_pages;
pub mod seen_versions;
pub mod unread_counts;
pub mod unread_totals;
