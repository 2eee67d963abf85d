//! Read positions that moved in small conversations, until the task `tasks/read_moves.rs` has woken the waits that watch them. They
//! are in this process only: a client reads the positions again when it opens a conversation.

use crate::model::ids::{ConversationId, UserId};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The read positions that moved.
#[derive(Default)]
pub struct ReadMoves(Mutex<State>);

#[derive(Default)]
struct State {
    /// Moved by this node, and to be announced to all nodes.
    moved: HashMap<ConversationId, HashSet<UserId>>,
    /// Announced by a node. The reader, if it is only one.
    announced: HashMap<ConversationId, Option<UserId>>,
}

impl ReadMoves {
    /// The user's read position has moved.
    pub fn note(&self, conversation: ConversationId, user: UserId) {
        let moved = &mut self.lock().moved;
        moved.entry(conversation).or_default().insert(user);
    }

    /// A node has announced that the read position of this user, or those of several, have moved.
    pub fn announced(&self, conversation: ConversationId, reader: Option<UserId>) {
        match self.lock().announced.entry(conversation) {
            Entry::Occupied(mut earlier) => {
                if *earlier.get() != reader {
                    earlier.insert(None);
                }
            }
            Entry::Vacant(new) => {
                new.insert(reader);
            }
        }
    }

    /// Takes the read positions that this node has moved.
    pub fn take_moved(&self) -> HashMap<ConversationId, HashSet<UserId>> {
        mem::take(&mut self.lock().moved)
    }

    /// Takes the announcements.
    pub fn take_announced(&self) -> HashMap<ConversationId, Option<UserId>> {
        mem::take(&mut self.lock().announced)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
