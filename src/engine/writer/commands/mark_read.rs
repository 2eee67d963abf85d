//! Moves a read position forward. It is a command of the writer, so that it is ordered with sends.

use crate::engine::error::Error;
use crate::engine::writer::command::{CommandTarget, Rule};
use crate::engine::writer::state::{Plan, State};
use crate::model::events::receipt::READ;
use crate::model::ids::ConvSeq;
use crate::storage::pg::sync::inbox::NewEntry;

/// Moves the caller's read position to a seq and past recalled messages that follow, unless it is there or further already. Ends a
/// mark as unread.
pub struct MarkRead(pub ConvSeq);

/// The read position after the command.
#[derive(Clone, Copy, Debug)]
pub struct Marked {
    /// Read up to here.
    pub read_seq: ConvSeq,
    /// The number of messages after it.
    pub unread: i64,
    /// The position has moved, and others may see it: the conversation is small.
    pub moved: bool,
}

impl Rule for MarkRead {
    type Answer = Result<Marked, Error>;

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
            return Err(Error::invalid(
                "/seq",
                format!("must not be beyond the latest seq, {head}"),
            ));
        }
        let seq = slid;
        let moved = seq > own.read_seq && !large;
        if seq > own.read_seq || own.marked_unread {
            own.read_seq = own.read_seq.max(seq);
            own.marked_unread = false;
            plan.changes.positions.insert(own.place, own.positions());
            plan.entries.push(NewEntry {
                receiver: user,
                event: &READ,
                conversation: id,
                ref_seq: own.read_seq,
                unread: head.0 - own.read_seq.0,
                large,
            });
        }
        Ok(Marked {
            read_seq: own.read_seq,
            unread: head.0 - own.read_seq.0,
            moved,
        })
    }
}
