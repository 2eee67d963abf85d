//! Pins a message, or ends its pin.

use crate::engine::error::Error;
use crate::engine::writer::command::{CommandTarget, Rule};
use crate::engine::writer::state::{Plan, State, Urgency, key};
use crate::model::events::message::PIN;
use crate::model::ids::ConvSeq;
use crate::model::wire::message::{MAX_PINS, Pinned};
use crate::storage::pg::sync::inbox::NewEntry;

/// Pins a message, or ends its pin, unless that is so already.
pub struct Pin {
    /// The message.
    pub seq: ConvSeq,
    /// Pins it. Otherwise its pin ends.
    pub pins: bool,
}

impl Rule for Pin {
    type Answer = Result<(), Error>;

    fn messages(&self) -> Vec<ConvSeq> {
        vec![self.seq]
    }

    fn pins(&self) -> bool {
        self.pins
    }

    fn entries(&self, receivers: i64) -> i64 {
        receivers
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
        if conversation.leads_pin && !own.can_moderate {
            return Err(Error::Forbidden(
                "only the owner and admins pin messages here",
            ));
        }
        if self.pins && own.muted_until.is_some_and(|until| until > own.now) {
            return Err(Error::Muted);
        }
        if self.pins && conversation.blocked {
            return Err(Error::Blocked);
        }
        let state_of = message.state.as_ref();
        if state_of.is_some_and(|one| one.pinned.is_some()) == self.pins {
            return Ok(());
        }
        if self.pins && conversation.pins >= MAX_PINS {
            return Err(Error::LimitReached("`limits.pins` of a conversation"));
        }
        conversation.pins = match self.pins {
            true => conversation.pins + 1,
            false => conversation.pins.saturating_sub(1),
        };
        let (number, at) = (conversation.change_seq.next(), conversation.at);
        conversation.change_seq = number;
        message.change(number).pinned = self.pins.then_some(Pinned { by: user, at });
        let pinned = self.pins.then_some(number);
        plan.states.pins.insert((id, seq), pinned);
        let message = message.clone();
        let (head, large) = (conversation.last_seq, conversation.large);
        // A message of before a member joined is not shown to that member.
        let receivers = conversation.members.iter();
        let receivers = receivers.filter(|member| !large && member.visible_after < seq);
        plan.entries.extend(receivers.map(|member| NewEntry {
            receiver: member.user,
            event: &PIN,
            conversation: id,
            ref_seq: seq,
            unread: head.0 - member.read_seq.0,
            large,
        }));
        plan.change(id, conversation, message.clone(), Urgency::Soon);
        if let Some(stored) = state.stored.get_mut(&key(&message)) {
            stored.message = message;
        }
        Ok(())
    }
}
