//! Conversations that somebody else has locked, and the commands that wait for them apart from the batches: a batch waits for
//! the locks of all its conversations, so one that stays locked would stop all others of its writer.

use crate::engine::error::Error;
use crate::engine::writer::command::{Command, QUEUE, RETRY_AFTER};
use crate::model::ids::ConversationId;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// What is set aside, by conversation.
#[derive(Default)]
pub(super) struct Deferred {
    stuck: HashMap<ConversationId, Stuck>,
}

struct Stuck {
    /// When it is tried again.
    again: Instant,
    /// In their order.
    commands: VecDeque<Box<dyn Command>>,
}

impl Deferred {
    /// Sets commands aside, to be tried again then. What is set aside for their conversations already stays before them.
    pub(super) fn put(&mut self, commands: VecDeque<Box<dyn Command>>, again: Instant) {
        for command in commands {
            let none = || Stuck {
                again,
                commands: VecDeque::new(),
            };
            let stuck = self.stuck.entry(command.at().conversation);
            stuck.or_insert_with(none).commands.push_back(command);
        }
    }

    /// Sets those aside whose conversations are, behind what waits there, and returns the others. As many may wait here as in
    /// the queue.
    pub(super) fn hold_back(
        &mut self,
        commands: VecDeque<Box<dyn Command>>,
    ) -> VecDeque<Box<dyn Command>> {
        if self.stuck.is_empty() {
            return commands;
        }
        let mut held: usize = self.stuck.values().map(|one| one.commands.len()).sum();
        let mut free = VecDeque::with_capacity(commands.len());
        for command in commands {
            match self.stuck.get_mut(&command.at().conversation) {
                None => free.push_back(command),
                Some(_) if held >= QUEUE => command.fail(Error::Overloaded(RETRY_AFTER)),
                Some(stuck) => {
                    held += 1;
                    stuck.commands.push_back(command);
                }
            }
        }
        free
    }

    /// When the next conversation is to be tried again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.stuck.values().map(|one| one.again).min()
    }

    /// The commands of the conversation that has been due for longest.
    pub(super) fn take_due(&mut self) -> Option<VecDeque<Box<dyn Command>>> {
        let (conversation, stuck) = self.stuck.iter().min_by_key(|(_, one)| one.again)?;
        if stuck.again > Instant::now() {
            return None;
        }
        let conversation = *conversation;
        self.stuck.remove(&conversation).map(|one| one.commands)
    }
}
