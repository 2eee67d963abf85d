//! Conversations whose index has something to do. They are only hints: the indexer finds lost ones by its sweep.

use crate::model::ids::ConversationId;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// The most conversations.
const MAX: usize = 10_000;

/// Conversations with a new full block, or with a changed message.
#[derive(Default)]
pub struct IndexHints {
    conversations: Mutex<BTreeSet<ConversationId>>,
    added: Notify,
}

impl IndexHints {
    /// Adds conversations, as far as there is room.
    pub fn add(&self, conversations: impl IntoIterator<Item = ConversationId>) {
        let mut conversations = conversations.into_iter().peekable();
        if conversations.peek().is_none() {
            return;
        }
        let mut all = self.lock();
        let room = MAX.saturating_sub(all.len());
        all.extend(conversations.take(room));
        self.added.notify_one();
    }

    /// Takes all conversations. Waits until there is one.
    pub async fn take(&self) -> BTreeSet<ConversationId> {
        loop {
            let added = self.added.notified();
            let all = std::mem::take(&mut *self.lock());
            if !all.is_empty() {
                return all;
            }
            added.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<ConversationId>> {
        self.conversations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
