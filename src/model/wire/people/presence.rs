//! Whether people are online.

use crate::model::ids::UserId;
use crate::model::time::Timestamp;
use crate::model::wire::user::Platform;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The maximum number of people whose presence is read or followed together.
pub const PRESENCE_IDS: usize = 100;

/// What the user of a device does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// Nothing for a while.
    Idle,
    /// Uses it.
    #[default]
    Active,
}

/// What others see of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PresenceState {
    /// Not known, or not visible to the caller. Both are the same on purpose.
    #[default]
    Unknown,
    /// Not online, or the user wants to look so.
    Offline,
    /// Online.
    Online,
    /// Online, but idle.
    Away,
    /// Online, and does not want to be disturbed.
    Busy,
}

/// The presence of a user, as the caller may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Presence)]
pub struct PersonPresence {
    /// The user.
    pub user_id: UserId,
    /// What others see.
    pub state: PresenceState,
    /// The kinds of programs with which the user is online. Empty when offline or unknown.
    pub platforms: Vec<Platform>,
    /// When the user was last online, as a whole minute, if the user is offline and shows it to the caller.
    #[schema(required = true)]
    pub last_seen_at: Option<Timestamp>,
    /// The number of the user's profile: if the client has another one, read the user again. Null when offline or unknown.
    #[schema(required = true, minimum = 1)]
    pub rev: Option<i64>,
}

/// A change of the presence of a user. It is absolute: it does not matter what was before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PresenceChange {
    /// The user.
    pub user_id: UserId,
    /// What others see.
    pub state: PresenceState,
    /// The kinds of programs with which the user is online. Empty when offline or unknown.
    pub platforms: Vec<Platform>,
    /// The number of the user's profile: if the client has another one, read the user again. Null when offline or unknown.
    #[schema(required = true, minimum = 1)]
    pub rev: Option<i64>,
}

/// The changes since a cursor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PresenceSignal {
    /// The people of the cursor who have changed.
    pub changes: Vec<PresenceChange>,
    /// The cursor for the next wait.
    pub cursor: String,
}
