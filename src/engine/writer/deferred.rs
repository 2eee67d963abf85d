//! Commands for conversations that another transaction has locked. They wait apart from the batches: a batch waits for the
//! locks of all its conversations, so one locked conversation would stop all others of its writer.

use crate::engine::error::Error;
use crate::engine::writer::command::{Command, QUEUE, RETRY_AFTER};
use crate::model::ids::ConversationId;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// The deferred commands, by conversation.
#[derive(Default)]
pub(super) struct Deferred {
    locked: HashMap<ConversationId, Locked>,
}

/// A locked conversation.
struct Locked {
    /// The time of the next attempt.
    retry_at: Instant,
    /// Its commands, in order.
    commands: VecDeque<Box<dyn Command>>,
}

impl Deferred {
    /// Defers commands until `retry_at`, after those that are deferred for their conversations already.
    pub(super) fn put(&mut self, commands: VecDeque<Box<dyn Command>>, retry_at: Instant) {
        for command in commands {
            let none = || Locked {
                retry_at,
                commands: VecDeque::new(),
            };
            let locked = self.locked.entry(command.at().conversation);
            locked.or_insert_with(none).commands.push_back(command);
        }
    }

    /// Defers the commands of locked conversations, after those that are deferred already, and returns the others. The limit
    /// is that of the queue.
    pub(super) fn hold_back(
        &mut self,
        commands: VecDeque<Box<dyn Command>>,
    ) -> VecDeque<Box<dyn Command>> {
        if self.locked.is_empty() {
            return commands;
        }
        let mut held: usize = self.locked.values().map(|one| one.commands.len()).sum();
        let mut free = VecDeque::with_capacity(commands.len());
        for command in commands {
            match self.locked.get_mut(&command.at().conversation) {
                None => free.push_back(command),
                Some(_) if held >= QUEUE => command.fail(Error::Overloaded(RETRY_AFTER)),
                Some(locked) => {
                    held += 1;
                    locked.commands.push_back(command);
                }
            }
        }
        free
    }

    /// The time of the next attempt.
    pub(super) fn next(&self) -> Option<Instant> {
        self.locked.values().map(|one| one.retry_at).min()
    }

    /// The commands of the conversation that has been due for longest.
    pub(super) fn take_due(&mut self) -> Option<VecDeque<Box<dyn Command>>> {
        let (conversation, locked) = self.locked.iter().min_by_key(|(_, one)| one.retry_at)?;
        if locked.retry_at > Instant::now() {
            return None;
        }
        let conversation = *conversation;
        self.locked.remove(&conversation).map(|one| one.commands)
    }
}
