//! Users and their devices.

use crate::model::ids::{DeviceId, UserId};
use crate::model::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a user is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserKind {
    /// A person, a bot or another system.
    #[default]
    Person,
    /// A service desk: people write to it, and its staff answers in its name.
    Desk,
}

impl UserKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Person, Self::Desk];

    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Desk => "desk",
        }
    }
}

/// A person, a bot, another system or a service desk. Every logged-in user may read every `User`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// What the user is. Later versions may have more kinds.
    pub kind: UserKind,
    /// Unique, lower case.
    #[schema(example = "ann")]
    pub username: String,
    /// The name that other users see.
    #[schema(example = "Ann")]
    pub display_name: String,
    /// The address of the user's picture: an http or https URL, which Tideline does not load, or of an uploaded one a path that begins
    /// with `/v1/users/`, relative to the address of the server. A path changes with the picture. Every user reads it with a token, or by
    /// a link (`POST /v1/media/avatar-links`).
    #[schema(required = true, example = "https://files.example/ann.png")]
    pub avatar_url: Option<String>,
    /// What the user says about the present; null: nothing.
    #[schema(required = true)]
    pub status: Option<Status>,
    /// The number of the profile. It grows with each change that others can see.
    #[schema(minimum = 1, example = 3)]
    pub rev: i64,
    /// When the account was created.
    pub created_at: Timestamp,
    /// The account is erased: nothing of the person is left but the id. A deactivated account is not deleted.
    pub deleted: bool,
}

/// What a user says about the present. It ends at `until`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Status {
    /// Only in the caller's own account: what others see of the caller's presence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub availability: Option<Availability>,
    /// An emoji, up to 64 bytes.
    #[schema(required = true, example = "🌴")]
    pub emoji: Option<String>,
    /// A text, up to 100 Unicode code points.
    #[schema(required = true, example = "On holiday")]
    pub text: Option<String>,
    /// When it ends; null: when the user ends it.
    #[schema(required = true)]
    pub until: Option<Timestamp>,
}

/// What others see of a user's presence, if the user has chosen it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// What the devices show.
    #[default]
    Auto,
    /// Away.
    Away,
    /// Busy.
    Busy,
    /// Busy; the user's devices do not notify.
    DoNotDisturb,
    /// Offline.
    Invisible,
}

impl Availability {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Auto,
        Self::Away,
        Self::Busy,
        Self::DoNotDisturb,
        Self::Invisible,
    ];

    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Away => "away",
            Self::Busy => "busy",
            Self::DoNotDisturb => "do_not_disturb",
            Self::Invisible => "invisible",
        }
    }
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
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Web,
        Self::Ios,
        Self::Android,
        Self::Desktop,
        Self::Bot,
        Self::Other,
    ];

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
