//! Clears the history of a conversation for one member. It is a command of the writer, since it moves the read position.

use crate::engine::error::Error;
use crate::engine::writer::command::{CommandTarget, Rule};
use crate::engine::writer::state::{Plan, State};
use crate::model::events::own::CLEARED;
use crate::model::ids::ConvSeq;
use crate::storage::pg::sync::inbox::NewEntry;

/// Takes the messages up to a seq from the caller's view, for good, and counts them as read.
pub struct Clear(pub ConvSeq);

impl Rule for Clear {
    type Answer = Result<(), Error>;

    fn slides_from(&self) -> Option<ConvSeq> {
        Some(self.0)
    }

    fn entries(&self, _receivers: i64) -> i64 {
        1
    }

    fn settle(&self, at: CommandTarget, plan: &mut Plan, state: &mut State) -> Self::Answer {
        let (id, user, seq) = (at.conversation, at.user, self.0);
        let conversation = state.conversations.get_mut(&id).ok_or(Error::NotFound)?;
        let (head, large) = (conversation.last_seq, conversation.large);
        let slid = conversation.slide(seq);
        let own = conversation.member(user)?;
        if seq > head {
            let detail = format!("must not be beyond the latest seq, {head}");
            return Err(Error::invalid("/seq", detail));
        }
        if seq > own.visible_after {
            own.visible_after = seq;
            own.read_seq = own.read_seq.max(slid);
            own.marked_unread = false;
            own.cleared_seq = seq;
            plan.changes.positions.insert(own.place, own.positions());
            plan.cleared.push((user, (id, seq)));
            plan.entries.push(NewEntry {
                receiver: user,
                event: &CLEARED,
                conversation: id,
                ref_seq: seq,
                unread: head.0 - own.read_seq.0,
                large,
            });
        }
        Ok(())
    }
}
