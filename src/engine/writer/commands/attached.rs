//! The media of a message that is stored: whether the sender may use them, and what the message says of them.

use crate::engine::error::Error;
use crate::engine::media::sources::{MediaSource, check, named};
use crate::model::ids::{ConvSeq, ConversationId, MediaId, UserId};
use crate::model::wire::content::UploadedContent;
use crate::model::wire::media::MediaKind;
use crate::model::wire::media::MediaVariant;
use crate::model::wire::message_ref::MessageRef;
use crate::storage::pg::media::references::{CONTENT, MediaReference, POSTER};
use crate::storage::pg::media::rows::StoredMedia;
use crate::storage::pg::messaging::archive::Presence;
use serde::Serialize;
use std::collections::HashMap;

/// The media of a message.
pub(super) struct Attached {
    media: StoredMedia,
    poster: Option<StoredMedia>,
}

/// The content of a message with media: what a link has, so that old clients understand it, and the rest.
#[derive(Serialize)]
pub(super) struct AttachedContent<'a> {
    url: String,
    media_id: MediaId,
    name: &'a str,
    mime: &'a str,
    size: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    poster_media_id: Option<MediaId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbhash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variants: Option<&'a [MediaVariant]>,
}

impl Attached {
    /// The media that a message of this kind names, if the sender may use them and they are ready.
    pub(super) fn find(
        sources: &HashMap<MediaId, MediaSource>,
        locked: &HashMap<MediaId, StoredMedia>,
        seen: &HashMap<(UserId, MessageRef), Presence>,
        (sender, kind): (UserId, &str),
        content: &UploadedContent,
    ) -> Result<Self, Error> {
        let find = |(id, kind, pointer)| {
            let source: &MediaSource = sources.get(&id).ok_or(Error::NotFound)?;
            // The sender may have left, or the message may be gone, since it was read.
            let is_seen = |via| seen.get(&(sender, via)) == Some(&Presence::There);
            let found = locked.get(&id).filter(|_| source.via.is_none_or(is_seen));
            let found = found.ok_or(Error::NotFound)?;
            check(found, kind, pointer)?;
            Ok(found.clone())
        };
        let mut found = named(kind, content).map(find);
        Ok(Self {
            media: found.next().unwrap_or(Err(Error::NotFound))?,
            poster: found.next().transpose()?,
        })
    }

    /// What the message says of them.
    pub(super) fn content<'a>(
        &'a self,
        base: Option<&str>,
        conversation: ConversationId,
        seq: ConvSeq,
        named: &'a UploadedContent,
    ) -> AttachedContent<'a> {
        let media = &self.media.media;
        let pictured = match (media.kind, &self.poster) {
            (MediaKind::Image, _) => Some(media),
            (_, poster) => poster.as_ref().map(|poster| &poster.media),
        };
        let base = base.unwrap_or_default();
        AttachedContent {
            url: format!("{base}/v1/conversations/{conversation}/messages/{seq}/media"),
            media_id: media.id,
            name: &media.name,
            mime: &media.mime,
            size: media.size,
            width: media.width,
            height: media.height,
            duration_ms: media.duration_ms,
            poster_media_id: named.poster_media_id,
            alt: named.alt.as_deref(),
            thumbhash: pictured.and_then(|picture| picture.thumbhash.as_deref()),
            variants: pictured.map(|picture| &*picture.variants),
        }
    }

    /// What the message refers to.
    pub(super) fn references(
        &self,
        conversation: ConversationId,
        seq: ConvSeq,
    ) -> impl Iterator<Item = MediaReference> {
        let reference = move |role: &str, stored: &StoredMedia| MediaReference {
            conversation,
            seq,
            role: role.to_owned(),
            owner: stored.owner,
            media: stored.media.id,
        };
        let poster = self.poster.iter();
        let poster = poster.map(move |poster| reference(POSTER, poster));
        std::iter::once(reference(CONTENT, &self.media)).chain(poster)
    }
}
