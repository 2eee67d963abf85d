//! A command of the writer: what it asks for, the rule that settles it, and where its answer goes.
//!
//! The queue and the batch know commands by the trait [`Command`] alone. A new command is a file in `commands` with a type that
//! implements [`Rule`].

use crate::engine::batching::reply::{Reply, ReplySender};
use crate::engine::error::Error;
use crate::engine::writer::state::{Plan, State};
use crate::model::ids::{ClientMsgId, ConversationId, UserId};
use crate::storage::pg::messaging::archive::Key;
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// How many commands may wait for one writer.
pub(super) const QUEUE: usize = 8_192;

/// How long a refused client should stay away.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(500);

/// In which conversation a command acts, and for whom.
#[derive(Clone, Copy)]
pub struct Address {
    /// The conversation.
    pub conversation: ConversationId,
    /// The caller.
    pub user: UserId,
}

/// What a command asks for, and how it is settled.
pub trait Rule: Send + 'static {
    /// What became of it.
    type Answer: Send + 'static;

    /// The caller's own ids of what it stores: under each of them it may be stored already.
    fn client_msg_ids(&self) -> Vec<ClientMsgId> {
        Vec::new()
    }

    /// The people whom it mentions: their rows are read, and what blocks say of them.
    fn mentions(&self) -> Vec<UserId> {
        Vec::new()
    }

    /// About how many inbox entries it writes where a message has so many receivers.
    fn entries(&self, receivers: i64) -> i64;

    /// Settles it under the locks, in memory, without touching anything else: a transaction may run again.
    fn settle(&self, at: Address, plan: &mut Plan, state: &mut State) -> Self::Answer;

    /// Whether it may have been refused for being a repetition of something that was stored before.
    fn may_be_repetition(_answer: &Self::Answer) -> bool {
        false
    }
}

/// A queued command, whatever it asks for.
pub(super) trait Command: Send {
    fn at(&self) -> Address;
    /// Later than this nobody waits for the answer, and executing it could put a send that was given up behind later ones of the
    /// same sender.
    fn deadline(&self) -> Instant;
    fn keys(&self) -> Vec<Key>;
    fn mentions(&self) -> Vec<UserId>;
    fn entries(&self, receivers: i64) -> i64;
    /// Settles it, and keeps the answer for [`Command::answer`]. It returns whether it may be a repetition.
    fn settle(&self, plan: &mut Plan, state: &mut State) -> bool;
    fn is_given_up(&self) -> bool;
    /// The answer of the last time that it was settled, on its way to the caller.
    fn answer(self: Box<Self>) -> Reply;
    fn fail(self: Box<Self>, error: Error);
}

/// A rule with its address, and the way back to its caller.
pub(super) struct Queued<R: Rule> {
    pub(super) rule: R,
    pub(super) at: Address,
    pub(super) deadline: Instant,
    pub(super) reply: ReplySender<Result<R::Answer, Error>>,
    pub(super) answer: RefCell<Option<R::Answer>>,
}

impl<R: Rule> Command for Queued<R> {
    fn at(&self) -> Address {
        self.at
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn keys(&self) -> Vec<Key> {
        let Address { conversation, user } = self.at;
        let ids = self.rule.client_msg_ids().into_iter();
        ids.map(|id| (conversation, user, id)).collect()
    }

    fn mentions(&self) -> Vec<UserId> {
        self.rule.mentions()
    }

    fn entries(&self, receivers: i64) -> i64 {
        self.rule.entries(receivers)
    }

    fn settle(&self, plan: &mut Plan, state: &mut State) -> bool {
        let answer = self.rule.settle(self.at, plan, state);
        let may_be_repetition = R::may_be_repetition(&answer);
        self.answer.replace(Some(answer));
        may_be_repetition
    }

    fn is_given_up(&self) -> bool {
        self.reply.is_closed() || Instant::now() > self.deadline
    }

    fn answer(self: Box<Self>) -> Reply {
        let unsettled = || Error::Internal("a command that was not settled".to_owned());
        let answer = self.answer.into_inner();
        self.reply.ready(answer.ok_or_else(unsettled))
    }

    fn fail(self: Box<Self>, error: Error) {
        self.reply.send(Err(error));
    }
}
