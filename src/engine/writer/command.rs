//! A command of the writer: the request, the rule that settles it, and the channel for its reply.
//!
//! The queue and the batch use only the trait [`Command`]. A new command is a file in `commands` with a type that implements
//! [`Rule`].

use crate::engine::batching::reply::{Reply, ReplySender};
use crate::engine::error::Error;
use crate::engine::writer::state::{Plan, State};
use crate::model::ids::{ClientMsgId, ConvSeq, ConversationId, MediaId, UserId};
use crate::model::wire::message_ref::MessageRef;
use crate::storage::pg::messaging::archive::{Key, MessageKey};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// The maximum number of commands in the queue of a writer.
pub(super) const QUEUE: usize = 8_192;

/// When a refused client may try again.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The conversation and the caller of a command.
#[derive(Clone, Copy)]
pub struct CommandTarget {
    /// The conversation.
    pub conversation: ConversationId,
    /// The caller.
    pub user: UserId,
}

/// The request of a command, and how it is settled.
pub trait Rule: Send + 'static {
    /// The result.
    type Answer: Send + 'static;

    /// The `client_msg_id` of each message to store: a message may be stored under it already.
    fn client_msg_ids(&self) -> Vec<ClientMsgId> {
        Vec::new()
    }

    /// The users that it mentions: the batch reads their member rows and blocks.
    fn mentions(&self) -> Vec<UserId> {
        Vec::new()
    }

    /// The messages that it changes: the batch reads their present state.
    fn messages(&self) -> Vec<ConvSeq> {
        Vec::new()
    }

    /// The messages to which it replies: the batch reads their present state, and blocks by their senders.
    fn replies(&self) -> Vec<ConvSeq> {
        Vec::new()
    }

    /// The messages that it copies from other conversations: the batch reads whether the caller still sees them.
    fn forwards(&self) -> Vec<MessageRef> {
        Vec::new()
    }

    /// The media that its messages refer to, with their owners: the batch keeps them from being deleted, and reads them.
    fn media(&self) -> Vec<(UserId, MediaId)> {
        Vec::new()
    }

    /// Whether it names everyone: the batch reads the blocks of all members.
    fn mentions_all(&self) -> bool {
        false
    }

    /// Whether it changes which users these messages name: the batch reads those that they have named.
    fn names_users(&self) -> bool {
        false
    }

    /// Whether it changes a reaction of the caller to these messages: the batch reads the caller's reactions.
    fn reacts(&self) -> bool {
        false
    }

    /// Whether it pins a message: the batch reads the number of pins.
    fn pins(&self) -> bool {
        false
    }

    /// A position over which read positions may slide: the batch reads which messages after it are recalled.
    fn slides_from(&self) -> Option<ConvSeq> {
        None
    }

    /// The approximate number of inbox entries that it writes if a message has this number of receivers.
    fn entries(&self, receivers: i64) -> i64;

    /// Settles it under the locks, in memory, without other side effects: a transaction may run again.
    fn settle(&self, at: CommandTarget, plan: &mut Plan, state: &mut State) -> Self::Answer;

    /// Whether it may have been refused only because it is a replay of a stored message.
    fn may_be_replay(_answer: &Self::Answer) -> bool {
        false
    }
}

/// A queued command of any kind.
pub(super) trait Command: Send {
    fn at(&self) -> CommandTarget;
    /// After this time the caller waits no longer. Executing the command could then store an abandoned send after later ones
    /// of the same sender.
    fn deadline(&self) -> Instant;
    fn keys(&self) -> Vec<Key>;
    fn mentions(&self) -> Vec<UserId>;
    fn messages(&self) -> Vec<MessageKey>;
    fn replies(&self) -> Vec<MessageKey>;
    fn forwards(&self) -> Vec<MessageRef>;
    fn media(&self) -> Vec<(UserId, MediaId)>;
    fn mentions_all(&self) -> bool;
    fn names_users(&self) -> bool;
    fn reacts(&self) -> bool;
    fn pins(&self) -> bool;
    fn slides_from(&self) -> Option<MessageKey>;
    fn entries(&self, receivers: i64) -> i64;
    /// Settles it, and keeps the answer for [`Command::answer`]. Returns whether it may be a replay.
    fn settle(&self, plan: &mut Plan, state: &mut State) -> bool;
    fn is_given_up(&self) -> bool;
    /// The reply with the answer of the last [`Command::settle`].
    fn answer(self: Box<Self>) -> Reply;
    fn fail(self: Box<Self>, error: Error);
}

/// A rule with its address and the channel for its reply.
pub(super) struct Queued<R: Rule> {
    pub(super) rule: R,
    pub(super) at: CommandTarget,
    pub(super) deadline: Instant,
    pub(super) reply: ReplySender<Result<R::Answer, Error>>,
    pub(super) answer: RefCell<Option<R::Answer>>,
}

impl<R: Rule> Command for Queued<R> {
    fn at(&self) -> CommandTarget {
        self.at
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn keys(&self) -> Vec<Key> {
        let CommandTarget { conversation, user } = self.at;
        let ids = self.rule.client_msg_ids().into_iter();
        ids.map(|id| (conversation, user, id)).collect()
    }

    fn mentions(&self) -> Vec<UserId> {
        self.rule.mentions()
    }

    fn messages(&self) -> Vec<MessageKey> {
        let seqs = self.rule.messages().into_iter();
        seqs.map(|seq| (self.at.conversation, seq)).collect()
    }

    fn replies(&self) -> Vec<MessageKey> {
        let seqs = self.rule.replies().into_iter();
        seqs.map(|seq| (self.at.conversation, seq)).collect()
    }

    fn forwards(&self) -> Vec<MessageRef> {
        self.rule.forwards()
    }

    fn media(&self) -> Vec<(UserId, MediaId)> {
        self.rule.media()
    }

    fn mentions_all(&self) -> bool {
        self.rule.mentions_all()
    }

    fn names_users(&self) -> bool {
        self.rule.names_users()
    }

    fn reacts(&self) -> bool {
        self.rule.reacts()
    }

    fn pins(&self) -> bool {
        self.rule.pins()
    }

    fn slides_from(&self) -> Option<MessageKey> {
        Some((self.at.conversation, self.rule.slides_from()?))
    }

    fn entries(&self, receivers: i64) -> i64 {
        self.rule.entries(receivers)
    }

    fn settle(&self, plan: &mut Plan, state: &mut State) -> bool {
        let answer = self.rule.settle(self.at, plan, state);
        let may_be_replay = R::may_be_replay(&answer);
        self.answer.replace(Some(answer));
        may_be_replay
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
