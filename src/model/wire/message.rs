//! Messages: new ones and stored ones.

use crate::model::ids::{ChangeSeq, ClientMsgId, ConvSeq, ConversationId, MessageId, UserId};
use crate::model::message::Extra;
use crate::model::time::Timestamp;
use crate::model::wire::content::{EXPIRED, HIDDEN, RECALLED, StoredBody, StoredContent};
use crate::model::wire::reaction::ReactionCount;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// A stored message: a `oneOf` by `kind`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Message {
    /// The message's id, unique over all conversations (UUIDv7).
    pub id: MessageId,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// Its position in the conversation: 1, 2, 3 … without gaps.
    pub seq: ConvSeq,
    /// The sender.
    pub sender_id: UserId,
    /// The sender's id for it, in lower case: compare it as a UUID.
    pub client_msg_id: ClientMsgId,
    /// Kind and content.
    #[serde(flatten)]
    #[schema(value_type = StoredContent)]
    pub body: StoredBody,
    /// When it was stored, by the database's clock.
    pub created_at: Timestamp,
    /// What has changed since. An unchanged message has none of these fields.
    #[serde(flatten)]
    #[schema(value_type = MessageState)]
    pub state: Option<Box<MessageState>>,
}

/// The state of a message that has changed since it was stored. Of two states of a message, the one with the higher `change_seq` is
/// the newer one.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct MessageState {
    /// The number of its last change, in the order of all changes of the conversation's messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub change_seq: Option<ChangeSeq>,
    /// The message to which it replies.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reply_to: Option<ReplyTo>,
    /// The first message of the chain of replies, whose `replies` list this message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub root_seq: Option<ConvSeq>,
    /// It names everyone in the conversation.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub mention_all: bool,
    /// When the message expires: from then on its kind is `expired`, without an entry or a change number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub expires_at: Option<Timestamp>,
    /// Where a forwarded message comes from. Its content is a copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub forward: Option<Forward>,
    /// The version of the content of an edited message. The first version, as sent, is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub version: Option<i32>,
    /// When the present version was stored, by the database's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub edited_at: Option<Timestamp>,
    /// The reactions to the message, in the order of first use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub reactions: Vec<ReactionCount>,
    /// When the author got the last entry about reactions, where not every member gets one.
    #[serde(skip)]
    #[schema(ignore)]
    pub author_told_at: Option<Timestamp>,
    /// Who pinned the message, and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub pinned: Option<Pinned>,
    /// Who recalled the message, and when. Its content is erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub recalled: Option<Recalled>,
}

/// The message to which a message replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReplyTo {
    /// Its seq.
    pub seq: ConvSeq,
    /// Its sender; null if the reader may not see it.
    #[schema(required = true)]
    pub sender_id: Option<UserId>,
}

/// The origin of a forwarded message. Its conversation is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Forward {
    /// The first author. Absent: at the time of the forward the author did not want to be named.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sender_id: Option<UserId>,
    /// When the first message was stored, by the database's clock.
    pub created_at: Timestamp,
}

impl Forward {
    /// The origin of a message that was stored with this.
    pub fn of(extra: &Extra) -> Option<Self> {
        extra.forward_created_at.map(|created_at| Self {
            sender_id: extra.forward_sender,
            created_at,
        })
    }
}

/// A message that names the reader.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Mention {
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// Its seq.
    pub seq: ConvSeq,
    /// When it named the reader: at its send, or at a later edit.
    pub at: Timestamp,
    /// The message as it is now.
    pub message: Message,
}

/// The pin of a message.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Pinned {
    /// Who pinned it.
    pub by: UserId,
    /// When, by the database's clock.
    pub at: Timestamp,
}

/// The recall of a message.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Recalled {
    /// Who recalled it: the sender, the owner or an admin.
    pub by: UserId,
    /// When, by the database's clock.
    pub at: Timestamp,
}

/// A version of a message.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MessageVersion {
    /// Its number. The first version, as sent, is 1.
    #[schema(minimum = 1)]
    pub version: i32,
    /// Its content, of the kind of the message.
    #[schema(value_type = Object)]
    pub content: Box<RawValue>,
    /// When it was stored, by the database's clock.
    pub at: Timestamp,
}

impl MessageState {
    /// The state after a change with this number.
    pub fn new(change_seq: ChangeSeq) -> Self {
        Self {
            change_seq: Some(change_seq),
            ..Self::default()
        }
    }

    /// The state of a message that was stored with this; nothing for a plain message.
    pub fn of(extra: Extra) -> Option<Box<Self>> {
        (extra != Extra::default()).then(|| {
            Box::new(Self {
                reply_to: extra.reply_to.map(|seq| ReplyTo {
                    seq,
                    sender_id: extra.reply_sender,
                }),
                root_seq: extra.root_seq,
                mention_all: extra.mention_all,
                expires_at: extra.expires_at,
                forward: Forward::of(&extra),
                ..Self::default()
            })
        })
    }

    /// Counts a user more, or less, with this reaction.
    pub fn count(&mut self, emoji: &str, more: bool) {
        let change = if more { 1 } else { -1 };
        match self.reactions.iter_mut().find(|one| one.emoji == emoji) {
            Some(found) => found.count += change,
            None => self.reactions.push(ReactionCount {
                emoji: emoji.to_owned(),
                count: change,
                me: false,
            }),
        }
        self.reactions.retain(|one| one.count > 0);
    }
}

impl Message {
    /// The version of its content.
    pub fn version(&self) -> i32 {
        let state = self.state.as_ref();
        state.and_then(|state| state.version).unwrap_or(1)
    }

    /// The first message of the chain of replies to which it belongs.
    pub fn root_seq(&self) -> ConvSeq {
        let state = self.state.as_ref();
        state.and_then(|state| state.root_seq).unwrap_or(self.seq)
    }

    /// Its reactions, without those of the reader marked.
    pub fn reactions(&self) -> &[ReactionCount] {
        self.state.as_ref().map_or(&[], |state| &state.reactions)
    }

    /// Whether it has reactions.
    pub fn has_reactions(&self) -> bool {
        !self.reactions().is_empty()
    }

    /// Its state, for a change with this number.
    pub fn change(&mut self, number: ChangeSeq) -> &mut MessageState {
        let state = self.state.get_or_insert_default();
        state.change_seq = Some(number);
        state
    }

    /// Whether its content is gone or hidden: only its place is left.
    pub fn is_stub(&self) -> bool {
        [RECALLED, EXPIRED, HIDDEN].contains(&self.body.kind.as_str())
    }

    /// Takes everything from it but its place, for a user who has hidden it.
    pub fn hide(&mut self) {
        self.body = StoredBody::hidden();
        if let Some(state) = &mut self.state {
            **state = MessageState {
                change_seq: state.change_seq,
                ..MessageState::default()
            };
        }
    }
}

/// The most pinned messages of a conversation.
pub const MAX_PINS: usize = 100;

/// The most hidden messages of a conversation.
pub const MAX_HIDDEN: i32 = 10_000;

/// The most versions of a message.
pub const MAX_VERSIONS: i32 = 100;
