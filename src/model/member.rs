//! Members of conversations, their roles, and how these change.

use crate::model::account::User;
use crate::model::ids::UserId;
use crate::model::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a member may do, in ascending order: who is above another may remove and mute them. Everybody posts, reads, leaves
/// and sees the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Posts, reads, leaves.
    Member,
    /// Also renames the group, adds people, and removes and mutes members.
    Admin,
    /// Also gives and takes roles. A group has one owner.
    Owner,
}

impl Role {
    /// The name used on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// The role of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Member, Self::Admin, Self::Owner]
            .into_iter()
            .find(|role| role.as_str() == name)
    }
}

/// A member of a conversation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Member {
    /// Who.
    pub user: User,
    /// What they may do.
    pub role: Role,
    /// Since when, by the database's clock.
    pub joined_at: Timestamp,
    /// Until when they may not post; null, or a time that has passed: they may.
    #[schema(required = true)]
    pub muted_until: Option<Timestamp>,
}

/// A member's role and mute after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberChange {
    /// Whose.
    pub user_id: UserId,
    /// What they may do now.
    pub role: Role,
    /// Until when they may not post; null: they may.
    #[schema(required = true)]
    pub muted_until: Option<Timestamp>,
}

/// One change of a conversation's members, made by somebody at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MembersChanged {
    /// Who made it.
    pub actor_id: UserId,
    /// Who joined.
    pub added: Vec<UserId>,
    /// Who left or was removed.
    pub removed: Vec<UserId>,
    /// Whose role or mute changed.
    pub changed: Vec<MemberChange>,
}
