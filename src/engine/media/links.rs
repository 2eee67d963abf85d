//! Links to media, for pages that cannot send a token: signed, short-lived, and still checked against the membership at each fetch.

use crate::model::ids::{ConvSeq, ConversationId, DeviceId, Epoch, MediaId, UserId};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// The end of a link is a full hour, so that the link to the same media stays the same, and caches work.
const HOUR: i64 = 3_600;

/// Bytes of the content: hour, user, device, conversation, seq, media, variant.
const CONTENT: usize = 4 + 16 + 16 + 16 + 8 + 16 + 1;

/// Bytes of the authentication code.
const CODE: usize = 16;

/// The forms that a link to media of a message can name. A link to a picture of a user or a conversation has one of the next two
/// numbers.
const VARIANTS: [&str; 4] = ["original", "medium", "small", "poster"];
const USER: u8 = 4;
const CONVERSATION: u8 = 5;

/// Through what the media are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkTarget {
    /// A message: its conversation, its seq, and the form.
    Message(ConversationId, ConvSeq, &'static str),
    /// A user, whose picture they are.
    User(UserId),
    /// A group or channel, whose picture they are.
    Conversation(ConversationId),
}

impl LinkTarget {
    fn encode(self) -> (Uuid, i64, u8) {
        match self {
            Self::Message(id, seq, variant) => {
                let index = VARIANTS.iter().position(|known| *known == variant);
                let index = u8::try_from(index.unwrap_or_default()).unwrap_or_default();
                (id.0, seq.0, index)
            }
            Self::User(id) => (id.0, 0, USER),
            Self::Conversation(id) => (id.0, 0, CONVERSATION),
        }
    }

    fn decode(id: Uuid, seq: i64, index: u8) -> Option<Self> {
        Some(match index {
            USER => Self::User(UserId(id)),
            CONVERSATION => Self::Conversation(ConversationId(id)),
            _ => {
                let variant = VARIANTS.get(usize::from(index))?;
                Self::Message(ConversationId(id), ConvSeq(seq), variant)
            }
        })
    }
}

/// What a link opens, for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaLink {
    /// The member who has asked for it.
    pub user: UserId,
    /// The device of the member.
    pub device: DeviceId,
    /// Through what the member sees them.
    pub target: LinkTarget,
    /// The media.
    pub media: MediaId,
}

/// The name of a form, if there is one of this name.
pub fn variant(name: &str) -> Option<&'static str> {
    VARIANTS.into_iter().find(|known| *known == name)
}

/// The key of links.
pub struct LinkKeys(Hmac<Sha256>);

impl LinkKeys {
    /// A key that is derived from the secret of tokens, for the data of this epoch.
    pub fn new(secret: &[u8], epoch: Epoch) -> Option<Self> {
        let key = |bytes: &[u8]| Hmac::<Sha256>::new_from_slice(bytes).ok();
        let derived = key(secret)?
            .chain_update(b"tideline media links")
            .chain_update(epoch.0.as_bytes())
            .finalize();
        Some(Self(key(&derived.into_bytes())?))
    }

    /// The token of a link, and the end of its validity, in seconds since 1970: one to two hours from now.
    pub fn seal(&self, link: &MediaLink, now: i64) -> (String, i64) {
        let hour = now / HOUR + 2;
        let (target, seq, index) = link.target.encode();
        let mut bytes = Vec::with_capacity(CONTENT + CODE);
        bytes.extend(u32::try_from(hour).unwrap_or_default().to_be_bytes());
        for id in [link.user.0, link.device.0, target] {
            bytes.extend(id.as_bytes());
        }
        bytes.extend(seq.to_be_bytes());
        bytes.extend(link.media.0.as_bytes());
        bytes.push(index);
        let code = self.0.clone().chain_update(&bytes).finalize().into_bytes();
        bytes.extend(code.iter().take(CODE));
        (BASE64.encode(bytes), hour * HOUR)
    }

    /// What a token opens; none if it was altered or its time is over.
    pub fn open(&self, token: &str, now: i64) -> Option<MediaLink> {
        let bytes = BASE64.decode(token).ok()?;
        let (content, code) = bytes.split_at_checked(CONTENT)?;
        if code.len() != CODE {
            return None;
        }
        let mac = self.0.clone().chain_update(content);
        mac.verify_truncated_left(code).ok()?;
        let (hour, rest) = content.split_first_chunk::<4>()?;
        if i64::from(u32::from_be_bytes(*hour)) * HOUR <= now {
            return None;
        }
        let (user, rest) = id(rest)?;
        let (device, rest) = id(rest)?;
        let (target, rest) = id(rest)?;
        let (seq, rest) = rest.split_first_chunk::<8>()?;
        let (media, rest) = id(rest)?;
        Some(MediaLink {
            user: UserId(user),
            device: DeviceId(device),
            target: LinkTarget::decode(target, i64::from_be_bytes(*seq), *rest.first()?)?,
            media: MediaId(media),
        })
    }
}

fn id(bytes: &[u8]) -> Option<(Uuid, &[u8])> {
    let (id, rest) = bytes.split_first_chunk::<16>()?;
    Some((Uuid::from_bytes(*id), rest))
}

#[cfg(test)]
mod tests {
    use super::{LinkKeys, LinkTarget, MediaLink};
    use crate::model::ids::{ConvSeq, ConversationId, DeviceId, Epoch, MediaId, UserId};
    use uuid::Uuid;

    #[test]
    fn link_opens_unaltered_until_its_hour_ends() {
        let id = Uuid::from_u128;
        let keys = |epoch| LinkKeys::new(&[7; 32], Epoch(id(epoch))).unwrap();
        let link = MediaLink {
            user: UserId(id(1)),
            device: DeviceId(id(2)),
            target: LinkTarget::Message(ConversationId(id(3)), ConvSeq(4), "poster"),
            media: MediaId(id(5)),
        };
        let now = 1_000_000_000;
        let (token, end) = keys(9).seal(&link, now);
        assert!((now + 3_600..=now + 7_200).contains(&end));
        assert_eq!(keys(9).seal(&link, now + 1).0, token, "it is stable");
        assert_eq!(keys(9).open(&token, end - 1), Some(link.clone()));
        assert_eq!(keys(9).open(&token, end), None);
        assert_eq!(keys(8).open(&token, now), None, "another epoch");
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(bytes).unwrap();
            assert_eq!(keys(9).open(&altered, now), None, "at {at}");
        }
        for target in [
            LinkTarget::User(UserId(id(3))),
            LinkTarget::Conversation(ConversationId(id(3))),
        ] {
            let link = MediaLink {
                target,
                ..link.clone()
            };
            let (other, _) = keys(9).seal(&link, now);
            assert_eq!(keys(9).open(&other, now), Some(link));
        }
        assert_eq!(keys(9).open("", now), None);
        assert_eq!(keys(9).open(&token[..token.len() - 4], now), None);
    }
}
