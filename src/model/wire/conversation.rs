//! Conversations, as a member sees them.

use crate::model::ids::{ChangeSeq, ConvSeq, ConversationId, Epoch, InboxSeq};
use crate::model::time::Timestamp;
use crate::model::wire::member::Role;
use crate::model::wire::message::Message;
use crate::model::wire::message_ref::MessageRef;
use crate::model::wire::settings::ConversationSettings;
use crate::model::wire::user::User;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The kind of a conversation. An open set: clients skip unknown kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConversationKind {
    /// Between two users; one per pair.
    Direct,
    /// Between any number of users, with a title and roles.
    Group,
    /// A group in which only the owner and admins post, for announcements.
    Channel,
}

impl ConversationKind {
    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Group => "group",
            Self::Channel => "channel",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Direct, Self::Group, Self::Channel]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

/// How messages of the conversation reach its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fanout {
    /// Every message has an entry in every member's inbox.
    Write,
    /// Messages are in the conversation's timeline only. Watch it (`watch` of `GET /v1/notices`), and fetch the messages after
    /// the last one that you have. A conversation never changes back to `write`.
    Read,
}

/// Who may do something in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Every member.
    All,
    /// The owner and the admins.
    Admins,
}

impl Permission {
    /// That of the leads alone, or of all.
    pub fn of_leads(leads: bool) -> Self {
        if leads { Self::Admins } else { Self::All }
    }
}

/// The longest `slow_mode_seconds`.
pub const MAX_SLOW_SECONDS: i64 = 21_600;

/// The caller's membership of a conversation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Me {
    /// The caller's role.
    pub role: Role,
    /// The caller has read up to this seq.
    pub read_seq: ConvSeq,
    /// Messages after `read_seq`.
    #[schema(minimum = 0)]
    pub unread: i64,
    /// Messages after `read_seq` that name the caller, by name or with everyone.
    #[schema(minimum = 0)]
    pub unread_mentions: i64,
    /// Whether such messages may exist.
    #[serde(skip)]
    #[schema(ignore)]
    pub may_have_mentions: bool,
    /// The caller has marked the conversation as unread. A read mark and a message of the caller's end that.
    pub marked_unread: bool,
    /// The latest seq when the caller joined; only messages above it are visible.
    pub joined_seq: ConvSeq,
    /// The caller has cleared the history up to this seq; only messages above it are visible. 0: never.
    pub cleared_seq: ConvSeq,
    /// The caller may not post until this time. Null or a past time: not muted.
    #[schema(required = true)]
    pub muted_until: Option<Timestamp>,
    /// The caller's own settings.
    pub settings: ConversationSettings,
}

/// A conversation as the caller sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Conversation {
    /// The conversation's id.
    pub id: ConversationId,
    /// Its kind.
    pub kind: ConversationKind,
    /// The title of a group or channel; null for direct conversations.
    #[schema(required = true)]
    pub title: Option<String>,
    /// The path of the picture of a group or channel, relative to the address of the server. It changes with the picture. Members read
    /// it with their token, or by a link (`POST /v1/media/avatar-links`). Null: there is none.
    #[schema(
        required = true,
        example = "/v1/conversations/0199a3c0-0000-7000-8000-0000000000a1/avatar?v=0199a3c0-0000-7000-8000-0000000000b1"
    )]
    pub avatar_url: Option<String>,
    /// How its messages reach its members.
    pub fanout: Fanout,
    /// With `fanout: "read"`: messages above this seq are in no inbox.
    #[schema(required = true)]
    pub switch_seq: Option<ConvSeq>,
    /// Every user that has its id may join. Only channels can be public.
    pub public: bool,
    /// The number of members.
    #[schema(minimum = 0)]
    pub member_count: i32,
    /// The first seq that the caller may see. `last_seq + 1`: there is no message to see.
    pub first_seq: ConvSeq,
    /// The latest seq of its timeline, which is the number of messages ever stored in it.
    pub last_seq: ConvSeq,
    /// The number of the latest change of its messages.
    pub change_seq: ChangeSeq,
    /// Its messages expire this number of seconds after their send. Null: they do not.
    #[schema(required = true, minimum = 10, maximum = 31536000)]
    pub message_ttl_seconds: Option<i64>,
    /// The newest message that the caller may see.
    #[schema(required = true)]
    pub last_message: Option<Message>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed: by a message, or in its title, rules or members.
    pub updated_at: Timestamp,
    /// The caller's membership.
    pub me: Me,
    /// The other user of a direct conversation.
    #[schema(required = true)]
    pub peer: Option<User>,
    /// The other user of a direct conversation has read up to this seq. Null if one of the two hides what they read, and in groups
    /// and channels.
    #[schema(required = true)]
    pub peer_read_seq: Option<ConvSeq>,
    /// Who posts.
    pub posting: Permission,
    /// Who pins messages. In a direct conversation both people do.
    pub pinning: Permission,
    /// A member other than the owner and the admins sends one message in this time, in seconds. 0: any number.
    #[schema(minimum = 0, maximum = 21600)]
    pub slow_mode_seconds: i32,
    /// The message to which the group or channel was created. Null if there is none, or if the caller may not see it.
    #[schema(required = true)]
    pub parent: Option<MessageRef>,
}

/// A page of the caller's conversations.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConversationPage {
    /// The conversations.
    pub conversations: Vec<Conversation>,
    /// Send it as `cursor` to get the next page. Null on the last page.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
    /// The latest seq of the caller's inbox, read before the first page. After the last page, continue the inbox from here.
    pub inbox_seq: InboxSeq,
    /// The current epoch.
    pub epoch: Epoch,
}

/// The order of a listing of conversations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Latest activity first, for display.
    #[default]
    Activity,
    /// By id: stable while paging, for a resync.
    Id,
}
