//! Signals of a wait: what a client sees while it looks at a conversation. They are in no inbox and are never stored.

use crate::model::ids::{ConversationId, UserId};
use crate::model::wire::people::presence::PresenceSignal;
use serde::{Serialize, Serializer};
use std::fmt;
use utoipa::ToSchema;

/// The signals of a wait. A part that the wait has not asked for is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Signals {
    /// The changes since the cursor of `presence`. Null: nothing has changed, or the server is busy: keep the cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<PresenceSignal>)]
    pub presence: Option<Option<PresenceSignal>>,
    /// The conversations of `typing` in which other people type than the mark says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub typing: Option<Vec<TypingSignal>>,
}

/// Who types in a conversation now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TypingSignal {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// All members that type, except the caller. Empty: nobody does any more.
    pub user_ids: Vec<UserId>,
    /// The mark for the next wait.
    pub mark: TypingMark,
}

/// A set of users, as a client has it: the exclusive or of the hashes of their ids. Each node computes the same, and can find out
/// whether the users are among those of which it has received signals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, pattern = "^[0-9a-f]{1,16}$", example = "8c3b0a1f5d2e4b77")]
pub struct TypingMark(u64);

impl TypingMark {
    /// The mark of these users.
    pub fn of(users: impl IntoIterator<Item = UserId>) -> Self {
        Self(users.into_iter().fold(0, |mark, user| mark ^ hash(user)))
    }

    /// The mark of a client.
    pub fn parse(text: &str) -> Option<Self> {
        let is_mark = text.len() <= 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u64::from_str_radix(text, 16)
            .ok()
            .filter(|_| is_mark)
            .map(Self)
    }

    /// Whether it is the mark of some of these users. With 64 users or more every mark is.
    pub fn is_among(self, users: impl IntoIterator<Item = UserId>) -> bool {
        // The marks of some of the users are the span of their single marks.
        let mut basis: Vec<u64> = Vec::new();
        let reduce =
            |basis: &[u64], mark: u64| basis.iter().fold(mark, |rest, one| rest.min(rest ^ one));
        for user in users {
            let rest = reduce(&basis, hash(user));
            if rest != 0 {
                basis.push(rest);
            }
        }
        reduce(&basis, self.0) == 0
    }
}

/// The output function of SplitMix64: ids of one millisecond differ in few bits.
fn hash(user: UserId) -> u64 {
    let (high, low) = user.0.as_u64_pair();
    let mix = |bits: u64, shift: u32, by: u64| (bits ^ (bits >> shift)).wrapping_mul(by);
    let bits = mix(high.rotate_left(32) ^ low, 30, 0xbf58_476d_1ce4_e5b9);
    let bits = mix(bits, 27, 0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl fmt::Display for TypingMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl Serialize for TypingMark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::TypingMark;
    use crate::model::ids::UserId;
    use uuid::Uuid;

    fn users(count: u128) -> Vec<UserId> {
        (1..=count).map(|n| UserId(Uuid::from_u128(n))).collect()
    }

    #[test]
    fn mark_is_of_a_set() {
        let users = users(6);
        let mark = TypingMark::of(users.iter().copied());
        assert_eq!(mark, TypingMark::of(users.iter().rev().copied()));
        assert_eq!(TypingMark::parse(&mark.to_string()), Some(mark));
        assert_eq!(TypingMark::of([]), TypingMark::parse("0").unwrap());
        for bad in ["", "+1", "-1", "g", "00000000000000000", " 1"] {
            assert_eq!(TypingMark::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn mark_is_found_among_users() {
        let users = users(30);
        let is_among = |mark: TypingMark, count| mark.is_among(users.iter().copied().take(count));
        let mark = TypingMark::of([users[1], users[4], users[28]]);
        assert!(is_among(mark, 30) && is_among(mark, 29));
        assert!(!is_among(mark, 28) && !is_among(mark, 0));
        assert!(is_among(TypingMark::default(), 30) && is_among(TypingMark::default(), 0));
    }
}
