//! Unread counts.

use crate::model::ids::{ConvSeq, ConversationId, InboxSeq, UserId};
use serde::Serialize;
use utoipa::ToSchema;

/// One conversation with something unread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConversationUnread {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Messages after the caller's read position; never zero here.
    #[schema(minimum = 1)]
    pub unread: i64,
}

/// All unread counts of a user, as of one position of the inbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Unread {
    /// The sum of the conversations' counts.
    #[schema(minimum = 0)]
    pub total: i64,
    /// Conversations with something unread.
    pub conversations: Vec<ConversationUnread>,
    /// The inbox head that the counts belong to.
    pub as_of_seq: InboxSeq,
}

/// All unread counts of a user in one snapshot, by how they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Those that follow from the inbox, which Redis keeps too.
    pub small: Unread,
    /// Those of large conversations.
    pub large: Vec<ConversationUnread>,
}

impl Counts {
    /// All of them as one.
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
    /// Read up to here; never moves back.
    pub read_seq: ConvSeq,
    /// Messages after it.
    #[schema(minimum = 0)]
    pub unread: i64,
    /// The sum over all conversations of the caller.
    #[schema(minimum = 0)]
    pub total_unread: i64,
}

/// An inbox entry as the unread counts need it: whose, which, and the conversation's count as of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommittedEntry {
    /// Whose inbox.
    pub receiver: UserId,
    /// The entry's seq.
    pub seq: InboxSeq,
    /// The conversation that it concerns.
    pub conversation: ConversationId,
    /// The conversation's count as of this entry; nothing when the conversation is large: those are counted when somebody
    /// asks, since no entry tells of their messages.
    pub unread: Option<i64>,
}
