//! Users and their devices.

use crate::model::ids::{DeviceId, UserId};
use crate::model::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A person, a bot or another system that sends and receives. Every logged-in user may read every `User`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// Unique, lower case.
    #[schema(example = "ann")]
    pub username: String,
    /// The name that other users see.
    #[schema(example = "Ann")]
    pub display_name: String,
    /// When the account was created.
    pub created_at: Timestamp,
    /// The account is erased: nothing of the person is left but the id. A deactivated account is not deleted.
    pub deleted: bool,
}

/// The caller's own account: the user, and settings that only the caller sees.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Account {
    /// The user's id.
    pub id: UserId,
    /// Unique, lower case.
    #[schema(example = "ann")]
    pub username: String,
    /// The name that other users see.
    #[schema(example = "Ann")]
    pub display_name: String,
    /// When the account was created.
    pub created_at: Timestamp,
    /// Always `false`, as in every user that is not erased.
    pub deleted: bool,
    /// Others see what the caller has read, and the caller sees what they have read. Off: neither.
    pub read_receipts: bool,
    /// Messages of the caller that others forward name the caller. Forwards keep what was set at their time.
    pub forward_name: bool,
}

/// The kind of program that a device is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// A browser.
    Web,
    /// An iPhone or iPad.
    Ios,
    /// An Android phone or tablet.
    Android,
    /// A desktop program.
    Desktop,
    /// An integration.
    Bot,
    /// Anything else.
    #[default]
    Other,
}

impl Platform {
    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Ios => "ios",
            Self::Android => "android",
            Self::Desktop => "desktop",
            Self::Bot => "bot",
            Self::Other => "other",
        }
    }
}

/// One installation of the caller.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Device {
    /// The device's id.
    pub id: DeviceId,
    /// A name for display.
    #[schema(required = true, example = "Ann's laptop")]
    pub name: Option<String>,
    /// The kind of program: `web`, `ios`, `android`, `desktop`, `bot` or `other`.
    #[schema(example = "web")]
    pub platform: String,
    /// When it first logged in.
    pub created_at: Timestamp,
    /// When it last logged in or refreshed its session.
    pub last_seen_at: Timestamp,
    /// This device makes the request.
    pub current: bool,
}
