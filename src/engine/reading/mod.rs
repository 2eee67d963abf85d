//! Shared reads: pages of inboxes, unread counts and totals.

pub mod hidden_messages;
pub mod inbox_pages;
pub mod message_views;
pub mod unread_counts;
pub mod unread_mentions;
pub mod unread_totals;
