//! Members of conversations, their roles, and changes of them.

use crate::model::ids::UserId;
use crate::model::time::Timestamp;
use crate::model::wire::user::User;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The role of a member, in ascending order. A member may remove and mute members with a lower role. Every member posts, reads,
/// leaves and sees the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Posts, reads, leaves.
    Member,
    /// Also renames the group, and adds, removes and mutes members.
    Admin,
    /// Also changes roles. A group has one owner.
    Owner,
}

impl Role {
    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// The role with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Member, Self::Admin, Self::Owner]
            .into_iter()
            .find(|role| role.as_str() == name)
    }
}

/// A member of a conversation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Member {
    /// The user.
    pub user: User,
    /// The member's role.
    pub role: Role,
    /// When the member joined, by the database's clock.
    pub joined_at: Timestamp,
    /// The member may not post until this time. Null or a past time: not muted.
    #[schema(required = true)]
    pub muted_until: Option<Timestamp>,
}

/// A member's role and mute after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberChange {
    /// The member.
    pub user_id: UserId,
    /// The role after the change.
    pub role: Role,
    /// The member may not post until this time. Null: not muted.
    #[schema(required = true)]
    pub muted_until: Option<Timestamp>,
}

/// One change of a conversation's members, made by one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MembersChanged {
    /// The user that made the change.
    pub actor_id: UserId,
    /// The users that joined.
    pub added: Vec<UserId>,
    /// The users that left or were removed.
    pub removed: Vec<UserId>,
    /// The members whose role or mute changed.
    pub changed: Vec<MemberChange>,
}
