//! Conversations as one member sees them.

use crate::model::account::User;
use crate::model::ids::{ConvSeq, ConversationId, Epoch, InboxSeq};
use crate::model::member::Role;
use crate::model::message::Message;
use crate::model::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What kind of conversation it is. An open set: clients skip kinds they do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConversationKind {
    /// Between two people; one per pair.
    Direct,
    /// Between any number of people, with a title and roles.
    Group,
    /// A group in which only the owner and admins post: for announcements to many.
    Channel,
}

impl ConversationKind {
    /// The name used on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Group => "group",
            Self::Channel => "channel",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Direct, Self::Group, Self::Channel]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

/// How news of the conversation reaches its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fanout {
    /// Every message is referenced in every member's inbox.
    Write,
    /// It is large: messages are in its own timeline only. Watch it (`watch` of `GET /v1/notices`), and fetch its messages
    /// after the last one that you have. Once a conversation is like this it stays so.
    Read,
}

/// The caller's own part in a conversation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Me {
    /// What the caller may do.
    pub role: Role,
    /// The caller has read up to here.
    pub read_seq: ConvSeq,
    /// Messages after `read_seq`.
    #[schema(minimum = 0)]
    pub unread: i64,
    /// The head when the caller joined; only messages above it are visible.
    pub joined_seq: ConvSeq,
    /// Until when the caller may not post; null, or a time that has passed: the caller may.
    #[schema(required = true)]
    pub muted_until: Option<Timestamp>,
}

/// A conversation as the caller sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Conversation {
    /// The conversation's id.
    pub id: ConversationId,
    /// What kind it is.
    pub kind: ConversationKind,
    /// The title of a group or channel; null for direct conversations.
    #[schema(required = true)]
    pub title: Option<String>,
    /// How news of it reaches its members.
    pub fanout: Fanout,
    /// With `fanout: "read"`: messages above this seq are in no inbox.
    #[schema(required = true)]
    pub switch_seq: Option<ConvSeq>,
    /// Anybody who has its id may join. Only channels are.
    pub public: bool,
    /// How many members it has.
    #[schema(minimum = 0)]
    pub member_count: i32,
    /// The head of its timeline: the number of messages ever stored in it.
    pub last_seq: ConvSeq,
    /// The newest message that the caller may see.
    #[schema(required = true)]
    pub last_message: Option<Message>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed: a message, its title, its members.
    pub updated_at: Timestamp,
    /// The caller's own part in it.
    pub me: Me,
    /// The other person of a direct conversation.
    #[schema(required = true)]
    pub peer: Option<User>,
}

/// A page of the caller's conversations.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConversationPage {
    /// The conversations.
    pub conversations: Vec<Conversation>,
    /// Give it back as `cursor` for the next page; null on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
    /// The caller's inbox head, read before the first page: after the last page, continue the inbox from here.
    pub inbox_seq: InboxSeq,
    /// This life of the database.
    pub epoch: Epoch,
}

/// In what order conversations are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Newest activity first, for screens.
    #[default]
    Activity,
    /// By id: stable while one pages, for starting over.
    Id,
}

/// Where the next page of conversations begins. It travels as an opaque cursor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConversationCursor {
    /// The order of the listing that it belongs to.
    pub order: Order,
    /// The inbox head from before the first page.
    pub inbox_seq: InboxSeq,
    /// The last conversation of the page before.
    pub after: ConversationId,
    /// When that one last changed, in microseconds since 1970.
    pub updated_us: i64,
}
