//! People and their devices.

use crate::model::ids::{DeviceId, UserId};
use crate::model::time::Timestamp;
use icu_normalizer::ComposingNormalizerBorrowed;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use utoipa::ToSchema;

/// A person, a bot or another system that sends and receives. Any signed-in user may read any `User`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// Unique, lower case.
    #[schema(example = "ann")]
    pub username: String,
    /// What other people see.
    #[schema(example = "Ann")]
    pub display_name: String,
    /// When the account was made.
    pub created_at: Timestamp,
}

/// What kind of program a device is.
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
    /// The name used on the wire and in the database.
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

/// What a log-in says of the device it comes from.
#[derive(Clone, Debug)]
pub struct DeviceInfo {
    /// A name for people.
    pub name: Option<String>,
    /// What kind of program it is; unknown when a known device logs in again without saying so.
    pub platform: Option<Platform>,
}

/// One installation of the caller.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Device {
    /// The device's id.
    pub id: DeviceId,
    /// A name for people.
    #[schema(required = true, example = "Ann's laptop")]
    pub name: Option<String>,
    /// What kind of program it is: `web`, `ios`, `android`, `desktop`, `bot` or `other`.
    #[schema(example = "web")]
    pub platform: String,
    /// When it first signed in.
    pub created_at: Timestamp,
    /// When it last signed in or refreshed its session.
    pub last_seen_at: Timestamp,
    /// It is the one that asks.
    pub current: bool,
}

/// A username in its one form: lower case, `^[a-z0-9_.-]{3,32}$`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username(String);

impl Username {
    /// What a username may look like, for people.
    pub const RULE: &str = "must be 3 to 32 of a-z, 0-9, '_', '.' and '-' after lower-casing";

    /// A username as typed, or nothing when it cannot be one.
    pub fn parse(typed: &str) -> Option<Self> {
        let name = typed.to_ascii_lowercase();
        let fits = (3..=32).contains(&name.len())
            && name
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-'));
        fits.then_some(Self(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How many code points the normal form of a password has at most.
const MAX_PASSWORD_LENGTH: usize = 128;

/// A password as somebody typed it.
///
/// Keyboards compose the same characters differently ("é" is one code point on Windows and two on macOS), so passwords are
/// counted, hashed and compared in the normal form NFC. Hashes made before that was so are of the bytes as they were typed.
#[derive(Clone)]
pub struct Password {
    composed: String,
    typed: Option<String>,
}

impl Password {
    /// What a new password must be, for people.
    pub const RULE: &str = "must be 8 to 128 Unicode code points long";

    /// A password that is to be checked; nothing when it is too long to be anybody's.
    pub fn typed(text: String) -> Option<Self> {
        // No code point has a longer canonical decomposition than four.
        if text.chars().nth(4 * MAX_PASSWORD_LENGTH).is_some() {
            return None;
        }
        let composed = ComposingNormalizerBorrowed::new_nfc()
            .normalize(&text)
            .into_owned();
        let typed = Some(text).filter(|text| *text != composed);
        Some(Self { composed, typed })
    }

    /// A new password, or nothing when it is too short or too long for one.
    pub fn parse(text: String) -> Option<Self> {
        let password = Self::typed(text)?;
        let fits = (8..=MAX_PASSWORD_LENGTH).contains(&password.composed.chars().count());
        fits.then_some(password)
    }

    /// In the normal form.
    pub fn composed(&self) -> &str {
        &self.composed
    }

    /// As it was typed, where that differs.
    pub fn as_typed(&self) -> Option<&str> {
        self.typed.as_deref()
    }
}

/// Who makes a request, proved by an access token that was checked and is not revoked.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The user.
    pub user: UserId,
    /// The device that the token was issued to.
    pub device: DeviceId,
    /// The device's refresh generation that the token was issued with.
    pub generation: i64,
    /// When the access token ends, in seconds since 1970; a wait ends with it.
    pub token_expires: i64,
    /// Where the request comes from.
    pub address: IpAddr,
}

#[cfg(test)]
mod tests {
    use super::Password;

    #[test]
    fn a_password_that_is_too_long_for_any_is_none() {
        // The longest decomposition: one code point of three, "\u{1f82}", typed as four.
        let longest = "α\u{313}\u{300}\u{345}".repeat(128);
        assert!(Password::parse(longest.clone()).is_some());
        assert!(Password::typed(longest + "x").is_none());
        assert!(Password::parse("x".repeat(129)).is_none());
    }
}
