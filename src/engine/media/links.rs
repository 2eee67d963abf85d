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

/// The forms that a link can name.
const VARIANTS: [&str; 4] = ["original", "medium", "small", "poster"];

/// What a link opens, for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaLink {
    /// The member who has asked for it.
    pub user: UserId,
    /// The device of the member.
    pub device: DeviceId,
    /// The conversation of the message.
    pub conversation: ConversationId,
    /// The message.
    pub seq: ConvSeq,
    /// The media that the message refers to.
    pub media: MediaId,
    /// The form.
    pub variant: &'static str,
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
        let index = VARIANTS.iter().position(|known| *known == link.variant);
        let mut bytes = Vec::with_capacity(CONTENT + CODE);
        bytes.extend(u32::try_from(hour).unwrap_or_default().to_be_bytes());
        for id in [link.user.0, link.device.0, link.conversation.0] {
            bytes.extend(id.as_bytes());
        }
        bytes.extend(link.seq.0.to_be_bytes());
        bytes.extend(link.media.0.as_bytes());
        bytes.extend(u8::try_from(index.unwrap_or_default()));
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
        let (conversation, rest) = id(rest)?;
        let (seq, rest) = rest.split_first_chunk::<8>()?;
        let (media, rest) = id(rest)?;
        Some(MediaLink {
            user: UserId(user),
            device: DeviceId(device),
            conversation: ConversationId(conversation),
            seq: ConvSeq(i64::from_be_bytes(*seq)),
            media: MediaId(media),
            variant: VARIANTS.get(usize::from(*rest.first()?))?,
        })
    }
}

fn id(bytes: &[u8]) -> Option<(Uuid, &[u8])> {
    let (id, rest) = bytes.split_first_chunk::<16>()?;
    Some((Uuid::from_bytes(*id), rest))
}

#[cfg(test)]
mod tests {
    use super::{LinkKeys, MediaLink};
    use crate::model::ids::{ConvSeq, ConversationId, DeviceId, Epoch, MediaId, UserId};
    use uuid::Uuid;

    #[test]
    fn link_opens_unaltered_until_its_hour_ends() {
        let id = Uuid::from_u128;
        let keys = |epoch| LinkKeys::new(&[7; 32], Epoch(id(epoch))).unwrap();
        let link = MediaLink {
            user: UserId(id(1)),
            device: DeviceId(id(2)),
            conversation: ConversationId(id(3)),
            seq: ConvSeq(4),
            media: MediaId(id(5)),
            variant: "poster",
        };
        let now = 1_000_000_000;
        let (token, end) = keys(9).seal(&link, now);
        assert!((now + 3_600..=now + 7_200).contains(&end));
        assert_eq!(keys(9).seal(&link, now + 1).0, token, "it is stable");
        assert_eq!(keys(9).open(&token, end - 1), Some(link));
        assert_eq!(keys(9).open(&token, end), None);
        assert_eq!(keys(8).open(&token, now), None, "another epoch");
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(bytes).unwrap();
            assert_eq!(keys(9).open(&altered, now), None, "at {at}");
        }
        assert_eq!(keys(9).open("", now), None);
        assert_eq!(keys(9).open(&token[..token.len() - 4], now), None);
    }
}
