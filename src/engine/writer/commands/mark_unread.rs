//! Marks a conversation as unread. It is a command of the writer, since a send and a read mark end the mark.

use crate::engine::error::Error;
use crate::engine::writer::command::{CommandTarget, Rule};
use crate::engine::writer::state::{Plan, State};
use crate::model::events::receipt::MARKED_UNREAD;
use crate::storage::pg::sync::inbox::NewEntry;

/// Sets the mark of the caller, unless it is set. The read position and the counts stay.
pub struct MarkUnread;

impl Rule for MarkUnread {
    type Answer = Result<(), Error>;

    fn entries(&self, _receivers: i64) -> i64 {
        1
    }

    fn settle(&self, at: CommandTarget, plan: &mut Plan, state: &mut State) -> Self::Answer {
        let (id, user) = (at.conversation, at.user);
        let conversation = state.conversations.get_mut(&id).ok_or(Error::NotFound)?;
        let (head, large) = (conversation.last_seq, conversation.large);
        let own = conversation.member(user)?;
        if !own.marked_unread {
            own.marked_unread = true;
            plan.changes.positions.insert(own.place, own.positions());
            plan.entries.push(NewEntry {
                receiver: user,
                event: &MARKED_UNREAD,
                conversation: id,
                ref_seq: own.read_seq,
                unread: head.0 - own.read_seq.0,
                large,
            });
        }
        Ok(())
    }
}
