//! Adds or removes a reaction of the caller to a message.

use crate::engine::error::Error;
use crate::engine::writer::command::{CommandTarget, Rule};
use crate::engine::writer::state::{Plan, State, Urgency};
use crate::model::events::message::REACTION;
use crate::model::ids::ConvSeq;
use crate::model::time::Timestamp;
use crate::model::wire::message::Message;
use crate::model::wire::reaction::{MAX_EMOJIS, MAX_PER_USER, MessageReactions, ReactionCount};
use crate::storage::pg::messaging::reactions::ReactionKey;
use crate::storage::pg::messaging::states::ReactionChange;
use crate::storage::pg::sync::inbox::NewEntry;
use chrono::TimeDelta;
use std::collections::BTreeSet;

/// Where not every member gets an entry, the author gets at most one of a message in this time.
const QUIET: TimeDelta = TimeDelta::minutes(1);

/// Adds or removes a reaction, unless it is there, or gone, already.
pub struct React {
    /// The message.
    pub seq: ConvSeq,
    /// The emoji.
    pub emoji: String,
    /// Adds it. Otherwise it is removed.
    pub adds: bool,
    /// In a small conversation with at most this number of members, every member gets an entry.
    pub fanout: usize,
}

impl Rule for React {
    type Answer = Result<MessageReactions, Error>;

    fn messages(&self) -> Vec<ConvSeq> {
        vec![self.seq]
    }

    fn reacts(&self) -> bool {
        true
    }

    fn entries(&self, receivers: i64) -> i64 {
        let fanout = i64::try_from(self.fanout).unwrap_or(i64::MAX);
        if receivers <= fanout { receivers } else { 2 }
    }

    fn settle(&self, at: CommandTarget, plan: &mut Plan, state: &mut State) -> Self::Answer {
        let (id, user, seq) = (at.conversation, at.user, self.seq);
        let conversation = state.conversations.get_mut(&id).ok_or(Error::NotFound)?;
        let own = *conversation.member(user)?;
        let message = state.messages.get_mut(&(id, seq));
        let message = message
            .filter(|_| own.visible_after < seq)
            .ok_or(Error::NotFound)?;
        if message.is_stub() {
            return Err(Error::MessageGone);
        }
        let mine = state.reactions.entry(((id, seq), user)).or_default();
        if self.adds {
            if own.muted_until.is_some_and(|until| until > own.now) {
                return Err(Error::Muted);
            }
            if conversation.blocked {
                return Err(Error::Blocked);
            }
        }
        let is_there = mine.contains(&self.emoji);
        if is_there == self.adds {
            return Ok(answer(message, mine));
        }
        if self.adds {
            let counts = message.reactions();
            let is_new = counts.iter().all(|one| one.emoji != self.emoji);
            if is_new && counts.len() >= MAX_EMOJIS {
                return Err(Error::LimitReached("`limits.emoji` of a message"));
            }
            if mine.len() >= MAX_PER_USER {
                return Err(Error::LimitReached("`limits.emoji_per_user` of a message"));
            }
        }
        let is_quiet = |last: Timestamp| last.0 + QUIET > own.now.0;
        let (author, large) = (message.sender_id, conversation.large);
        let tells_all = !large && conversation.members.len() <= self.fanout;
        conversation.change_seq = conversation.change_seq.next();
        let changed = message.change(conversation.change_seq);
        changed.count(&self.emoji, self.adds);
        let tells_author = author != user && !changed.author_told_at.is_some_and(is_quiet);
        if tells_author && !tells_all {
            changed.author_told_at = Some(conversation.at);
        }
        match self.adds {
            true => mine.insert(self.emoji.clone()),
            false => mine.remove(&self.emoji),
        };
        let key = ReactionKey {
            message: (id, seq),
            emoji: self.emoji.clone(),
            user,
        };
        let reaction = ReactionChange {
            was_stored: is_there,
            stored_at: self.adds.then_some(conversation.at),
        };
        plan.states.react(key, reaction);
        let head = conversation.last_seq;
        let receivers = conversation.members.iter().filter(|member| {
            // For the other devices of the caller: without an entry they would never learn of a change that is quiet.
            let is_receiver =
                tells_all || tells_author && member.user == author || member.user == user;
            is_receiver && member.visible_after < seq
        });
        plan.entries.extend(receivers.map(|member| NewEntry {
            receiver: member.user,
            event: &REACTION,
            conversation: id,
            ref_seq: seq,
            unread: head.0 - member.read_seq.0,
            large,
        }));
        let answer = answer(message, mine);
        plan.change(id, conversation, message.clone(), Urgency::Soon);
        Ok(answer)
    }
}

/// The reactions to a message, as a user with these reactions sees them.
fn answer(message: &Message, mine: &BTreeSet<String>) -> MessageReactions {
    let mark = |one: &ReactionCount| ReactionCount {
        me: mine.contains(&one.emoji),
        ..one.clone()
    };
    MessageReactions {
        seq: message.seq,
        change_seq: message
            .state
            .as_ref()
            .and_then(|one| one.change_seq)
            .unwrap_or_default(),
        reactions: message.reactions().iter().map(mark).collect(),
    }
}
