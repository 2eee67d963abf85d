//! Unread counts.

use crate::model::ids::{ConvSeq, ConversationId, InboxSeq, UserId};
use serde::Serialize;
use utoipa::ToSchema;

/// A conversation with unread messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConversationUnread {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Messages after the caller's read position; at least 1.
    #[schema(minimum = 1)]
    pub unread: i64,
}

/// All unread counts of a user, as of one inbox position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Unread {
    /// The sum of the conversations' counts.
    #[schema(minimum = 0)]
    pub total: i64,
    /// The conversations with unread messages.
    pub conversations: Vec<ConversationUnread>,
    /// The inbox position that the counts belong to.
    pub as_of_seq: InboxSeq,
}

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

/// The answer to marking a conversation as read.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReadMark {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The read position, which never moves back.
    pub read_seq: ConvSeq,
    /// Messages after the read position.
    #[schema(minimum = 0)]
    pub unread: i64,
    /// The sum over all of the caller's conversations.
    #[schema(minimum = 0)]
    pub total_unread: i64,
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
