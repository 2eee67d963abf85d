//! Unread counts inside the server.

use crate::model::ids::{ConversationId, InboxSeq, UserId};
use crate::model::wire::unread::{ConversationUnread, Unread};

/// All unread counts of a user in one snapshot, by fan-out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Those of conversations with write fan-out, which Redis has too.
    pub small: Unread,
    /// Those of large conversations.
    pub large: Vec<ConversationUnread>,
}

impl Counts {
    /// Both together.
    pub fn all(self) -> Unread {
        let Self { mut small, large } = self;
        small.total += large.iter().map(|one| one.unread).sum::<i64>();
        small.conversations.extend(large);
        small
            .conversations
            .sort_unstable_by_key(|one| one.conversation_id);
        small
    }
}

/// An inbox entry after its commit, for the unread counts and the waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommittedEntry {
    /// The user of the inbox.
    pub receiver: UserId,
    /// The entry's seq.
    pub seq: InboxSeq,
    /// Its conversation.
    pub conversation: ConversationId,
    /// The conversation's unread count as of this entry. None for a large conversation: its messages have no entries, so it is
    /// counted on demand.
    pub unread: Option<i64>,
}
