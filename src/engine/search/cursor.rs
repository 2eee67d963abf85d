//! The cursors of searches. They are signed: a cursor is good on every node, for its user and for the same search only.

use crate::engine::search::position::HitPosition;
use crate::model::ids::{ConvSeq, ConversationId, UserId};
use crate::model::time::Timestamp;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use chrono::DateTime;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// Bytes of the signature.
const CODE: usize = 16;

/// The key of cursors.
pub struct SearchCursors(Hmac<Sha256>);

impl SearchCursors {
    /// A key that is derived from the secret of tokens.
    pub fn new(secret: &[u8]) -> Option<Self> {
        let secret = Hmac::<Sha256>::new_from_slice(secret).ok()?;
        let derived = secret.chain_update(b"tideline search cursors").finalize();
        let key = Hmac::new_from_slice(&derived.into_bytes()).ok()?;
        Some(Self(key))
    }

    /// Signs a position. `search` is what the owner searches for, in any form that is the same for the same search.
    pub fn seal(&self, owner: UserId, search: &[u8], position: HitPosition) -> String {
        let at = position.at.0.timestamp_micros().to_le_bytes();
        let conversation = *position.conversation.0.as_bytes();
        let content = [
            &at[..],
            &conversation[..],
            &position.seq.0.to_le_bytes()[..],
        ]
        .concat();
        let code = self.code(owner, search, &content).finalize().into_bytes();
        let code = code.get(..CODE).unwrap_or_default();
        BASE64.encode([code, &content].concat())
    }

    /// The position of a cursor; none if it is not one of this search of this user.
    pub fn open(&self, owner: UserId, search: &[u8], cursor: &str) -> Option<HitPosition> {
        let bytes = BASE64.decode(cursor).ok()?;
        let (code, content) = bytes.split_at_checked(CODE)?;
        let signed = self.code(owner, search, content);
        signed.verify_truncated_left(code).ok()?;
        let (at, rest) = content.split_first_chunk()?;
        let (conversation, rest) = rest.split_first_chunk()?;
        Some(HitPosition {
            at: Timestamp(DateTime::from_timestamp_micros(i64::from_le_bytes(*at))?),
            conversation: ConversationId(Uuid::from_bytes(*conversation)),
            seq: ConvSeq(i64::from_le_bytes(*rest.first_chunk()?)),
        })
    }

    fn code(&self, owner: UserId, search: &[u8], content: &[u8]) -> Hmac<Sha256> {
        let code = self.0.clone().chain_update(owner.0.as_bytes());
        // The content has a fixed length, so the three parts cannot be taken for others.
        code.chain_update(content).chain_update(search)
    }
}

#[cfg(test)]
mod tests {
    use super::SearchCursors;
    use crate::engine::search::position::HitPosition;
    use crate::model::ids::{ConvSeq, ConversationId, UserId};
    use crate::model::time::Timestamp;
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
    use chrono::DateTime;
    use uuid::Uuid;

    #[test]
    fn only_its_owner_goes_on_and_only_with_the_same_search() {
        let keys = SearchCursors::new(b"one secret").unwrap();
        let (ann, ben) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        let position = HitPosition {
            at: Timestamp(DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap()),
            conversation: ConversationId(Uuid::from_u128(7)),
            seq: ConvSeq(99),
        };
        let cursor = keys.seal(ann, b"one", position);
        assert_eq!(keys.open(ann, b"one", &cursor), Some(position));
        assert_eq!(keys.open(ann, b"two", &cursor), None);
        assert_eq!(keys.open(ben, b"one", &cursor), None);
        let other = SearchCursors::new(b"another secret").unwrap();
        assert_eq!(other.open(ann, b"one", &cursor), None);
        let bytes = BASE64.decode(&cursor).unwrap();
        for place in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[place] ^= 1;
            assert_eq!(keys.open(ann, b"one", &BASE64.encode(&bytes)), None);
            assert_eq!(
                keys.open(ann, b"one", &BASE64.encode(&bytes[..place])),
                None
            );
        }
    }
}
