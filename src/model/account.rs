//! The caller of a request, and the credentials of a login.

use crate::model::ids::{DeviceId, UserId};
use crate::model::wire::user::Platform;
use icu_normalizer::ComposingNormalizerBorrowed;
use std::net::IpAddr;

/// The device of a login, as described by the client.
#[derive(Clone, Debug)]
pub struct DeviceInfo {
    /// A name for display.
    pub name: Option<String>,
    /// The kind of program; none if a known device logs in again without it.
    pub platform: Option<Platform>,
}

/// A username in its canonical form: lower case, `^[a-z0-9_.-]{3,32}$`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username(String);

impl Username {
    /// The most characters of a username.
    pub const MAX: usize = 32;

    /// The rule for usernames, as an error text.
    pub const RULE: &str = "must be 3 to 32 of a-z, 0-9, '_', '.' and '-' after lower-casing, and not begin with 'deleted-'";

    /// A new name as typed; none if it is invalid, or looks like that of a deleted account.
    pub fn new_name(typed: &str) -> Option<Self> {
        Self::parse(typed).filter(|name| !name.0.starts_with("deleted-"))
    }

    /// Parses a username as typed, to look it up; none if it is invalid.
    pub fn parse(typed: &str) -> Option<Self> {
        let name = typed.to_ascii_lowercase();
        let fits = (3..=Self::MAX).contains(&name.len())
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

/// Who has deactivated an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeactivatedBy {
    /// Its owner: a login ends it.
    Person,
    /// The operator.
    Operator,
}

/// Whether an account is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountState {
    /// It is.
    Active,
    /// It is not for now.
    Deactivated(DeactivatedBy),
    /// It is erased for good.
    Deleted,
}

/// The most code points of a password in its normal form.
const MAX_PASSWORD_LENGTH: usize = 128;

/// A password as typed.
///
/// Keyboards compose the same character differently ("é" is one code point on Windows and two on macOS), so passwords are
/// counted, hashed and compared in the normal form NFC. Hashes from before this rule are of the bytes as typed.
#[derive(Clone)]
pub struct Password {
    composed: String,
    typed: Option<String>,
}

impl Password {
    /// The rule for new passwords, as an error text.
    pub const RULE: &str = "must be 8 to 128 Unicode code points long";

    /// A password to check; none if it is longer than any valid one.
    pub fn typed(text: String) -> Option<Self> {
        // A canonical decomposition has at most four code points.
        if text.chars().nth(4 * MAX_PASSWORD_LENGTH).is_some() {
            return None;
        }
        let composed = ComposingNormalizerBorrowed::new_nfc()
            .normalize(&text)
            .into_owned();
        let typed = Some(text).filter(|text| *text != composed);
        Some(Self { composed, typed })
    }

    /// A new password; none if it is too short or too long.
    pub fn parse(text: String) -> Option<Self> {
        let password = Self::typed(text)?;
        let fits = (8..=MAX_PASSWORD_LENGTH).contains(&password.composed.chars().count());
        fits.then_some(password)
    }

    /// In the normal form.
    pub fn composed(&self) -> &str {
        &self.composed
    }

    /// As typed, if that differs from the normal form.
    pub fn as_typed(&self) -> Option<&str> {
        self.typed.as_deref()
    }
}

/// The authenticated caller of a request: its access token is valid and not revoked.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The user.
    pub user: UserId,
    /// The device of the token.
    pub device: DeviceId,
    /// The refresh generation of the token.
    pub generation: i64,
    /// When the access token expires, in seconds since 1970; a wait ends then.
    pub token_expires: i64,
    /// The client's address.
    pub address: IpAddr,
}

#[cfg(test)]
mod tests {
    use super::Password;

    #[test]
    fn passwords_longer_than_any_valid_one_are_rejected() {
        // The longest decomposition: one code point of three, "\u{1f82}", typed as four.
        let longest = "α\u{313}\u{300}\u{345}".repeat(128);
        assert!(Password::parse(longest.clone()).is_some());
        assert!(Password::typed(longest + "x").is_none());
        assert!(Password::parse("x".repeat(129)).is_none());
    }
}
