//! What a client has: the state of each person that it follows, sealed, so that the server stores nothing.
//!
//! A cursor also has what decides who may see whom, as numbers. It is encrypted, because they would show who exists and hides. The
//! authentication code is also the start of the key stream (as in SIV, RFC 5297). Random bytes make each cursor another one: otherwise
//! two of one second would be equal exactly as long as no number has moved.

use crate::clock;
use crate::model::ids::UserId;
use crate::model::wire::people::privacy::Audience;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// How long a cursor is valid, in seconds.
pub const CURSOR_LIFE: i64 = 86_400;

/// Bytes of the authentication code.
const CODE: usize = 16;

/// Random bytes before the head.
const RANDOM: usize = 8;

/// Bytes of the head: when it was made, and the number of the caller.
const HEAD: usize = 12;

/// Bytes of a person.
const PERSON: usize = 20;

/// The digest of a person who is hidden from the caller.
pub const HIDDEN: u16 = 7 << 13;

/// A person that a client follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The person.
    pub user: UserId,
    /// The digest of what the client has.
    pub digest: u16,
    /// The person's number of what decides who sees the presence, as of when that was found.
    pub audience_rev: u16,
}

/// What a client has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceCursor {
    /// When the client asked for it, in seconds since 1970.
    pub made_at: i64,
    /// The caller's number of what decides who sees the presence.
    pub audience_rev: u32,
    /// The people.
    pub people: Box<[Followed]>,
}

/// The keys of cursors.
pub struct CursorKeys {
    code: Hmac<Sha256>,
    stream: Hmac<Sha256>,
}

impl CursorKeys {
    /// Keys that are derived from the secret of tokens, and from who sees the presence of those who have chosen nothing: a permission
    /// that the operator has ended is in no valid cursor.
    pub fn new(secret: &[u8], default: Audience) -> Option<Self> {
        let key = |bytes: &[u8]| Hmac::<Sha256>::new_from_slice(bytes).ok();
        let derived = |name: &[u8]| {
            let derived = key(secret)?.chain_update(name);
            let derived = derived.chain_update(default.as_str()).finalize();
            key(&derived.into_bytes())
        };
        Some(Self {
            code: derived(b"tideline presence cursors: code")?,
            stream: derived(b"tideline presence cursors: stream")?,
        })
    }

    /// Seals a cursor for its owner.
    pub fn seal(&self, owner: UserId, cursor: &PresenceCursor) -> String {
        let mut bytes = vec![0; CODE];
        bytes.extend(clock::random_bytes::<RANDOM>());
        bytes.extend(cursor.made_at.to_le_bytes());
        bytes.extend(cursor.audience_rev.to_le_bytes());
        for one in &cursor.people {
            bytes.extend(one.user.0.as_bytes());
            bytes.extend(one.digest.to_le_bytes());
            bytes.extend(one.audience_rev.to_le_bytes());
        }
        let (code, content) = bytes.split_at_mut(CODE);
        let full = self.code(owner, content).finalize().into_bytes();
        code.copy_from_slice(full.get(..CODE).unwrap_or(&[0; CODE]));
        self.mask(code, content);
        BASE64.encode(bytes)
    }

    /// Opens a cursor; none if it was not sealed for this owner, or is too old.
    pub fn open(&self, owner: UserId, text: &str, now: i64) -> Option<PresenceCursor> {
        let mut bytes = BASE64.decode(text).ok()?;
        let (code, content) = bytes.split_at_mut_checked(CODE)?;
        self.mask(code, content);
        self.code(owner, content).verify_truncated_left(code).ok()?;
        let (_, content) = content.split_at_checked(RANDOM)?;
        let (head, people) = content.split_at_checked(HEAD)?;
        let (made_at, audience_rev) = head.split_first_chunk()?;
        let made_at = i64::from_le_bytes(*made_at);
        let people = people.chunks_exact(PERSON).filter_map(|one| {
            let (id, rest) = one.split_first_chunk()?;
            let (digest, rev) = rest.split_first_chunk()?;
            Some(Followed {
                user: UserId(Uuid::from_bytes(*id)),
                digest: u16::from_le_bytes(*digest),
                audience_rev: u16::from_le_bytes(*rev.first_chunk()?),
            })
        });
        (now - made_at <= CURSOR_LIFE).then_some(PresenceCursor {
            made_at,
            audience_rev: u32::from_le_bytes(*audience_rev.first_chunk()?),
            people: people.collect(),
        })
    }

    fn code(&self, owner: UserId, content: &[u8]) -> Hmac<Sha256> {
        let code = self.code.clone().chain_update(owner.0.as_bytes());
        code.chain_update(content)
    }

    /// Encrypts and decrypts.
    fn mask(&self, code: &[u8], content: &mut [u8]) {
        for (number, block) in (0_u32..).zip(content.chunks_mut(32)) {
            let key = self.stream.clone().chain_update(code);
            let key = key.chain_update(number.to_le_bytes()).finalize();
            for (byte, mask) in block.iter_mut().zip(key.into_bytes()) {
                *byte ^= mask;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CURSOR_LIFE, CursorKeys, Followed, PresenceCursor};
    use crate::model::ids::UserId;
    use crate::model::wire::people::privacy::Audience;
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
    use uuid::Uuid;

    fn cursor(people: u128) -> PresenceCursor {
        let one = |n| Followed {
            user: UserId(Uuid::from_u128(n)),
            digest: 3 << 13 | 77,
            audience_rev: 9,
        };
        PresenceCursor {
            made_at: 1_000,
            audience_rev: 5,
            people: (1..=people).map(one).collect(),
        }
    }

    #[test]
    fn only_its_owner_opens_a_cursor_and_only_for_a_day() {
        let keys = CursorKeys::new(b"one secret", Audience::Everyone).unwrap();
        let (ann, ben) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        for people in [0, 1, 30, 100] {
            let cursor = cursor(people);
            let text = keys.seal(ann, &cursor);
            assert_ne!(keys.seal(ann, &cursor), text);
            assert_eq!(keys.open(ann, &text, 1_000), Some(cursor.clone()));
            assert_eq!(keys.open(ann, &text, 1_000 + CURSOR_LIFE), Some(cursor));
            assert_eq!(keys.open(ann, &text, 1_001 + CURSOR_LIFE), None);
            assert_eq!(keys.open(ben, &text, 1_000), None);
            for (secret, default) in [
                (&b"another secret"[..], Audience::Everyone),
                (b"one secret", Audience::Contacts),
            ] {
                let other = CursorKeys::new(secret, default).unwrap();
                assert_eq!(other.open(ann, &text, 1_000), None);
            }
        }
        // With 100 people it fits into the line of a request beside 100 watched conversations.
        assert!(keys.seal(ann, &cursor(100)).len() < 2_800);
    }

    #[test]
    fn every_changed_byte_is_found_and_no_id_is_legible() {
        let keys = CursorKeys::new(b"one secret", Audience::Everyone).unwrap();
        let ann = UserId(Uuid::from_u128(1));
        let bytes = BASE64.decode(keys.seal(ann, &cursor(2))).unwrap();
        let id = cursor(2).people[1].user;
        assert!(!bytes.windows(16).any(|part| part == id.0.as_bytes()));
        for place in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[place] ^= 1;
            assert_eq!(keys.open(ann, &BASE64.encode(&bytes), 1_000), None);
            assert_eq!(keys.open(ann, &BASE64.encode(&bytes[..place]), 1_000), None);
        }
        for text in ["", "x", "====", "AAAA", "é"] {
            assert_eq!(keys.open(ann, text, 1_000), None);
        }
    }
}
