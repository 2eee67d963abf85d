//! Which media a sender may refer to: own ones, and those of messages that the sender sees.

use crate::engine::error::Error;
use crate::model::ids::{MediaId, UserId};
use crate::model::wire::content::UploadedContent;
use crate::model::wire::media::MediaKind;
use crate::model::wire::media::MediaState;
use crate::model::wire::message_ref::MessageRef;
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::media::references::MediaReference;
use crate::storage::pg::media::rows::StoredMedia;
use crate::storage::pg::media::{references, rows};
use crate::storage::pg::messaging::archive::{self, Presence};
use std::collections::{BTreeSet, HashMap};

/// Where media are that a message refers to.
#[derive(Clone, Copy, Debug)]
pub struct MediaSource {
    /// Their owner.
    pub owner: UserId,
    /// The message through which the sender sees media of another user.
    pub via: Option<MessageRef>,
}

/// Whether a message may refer to media in the place of this kind.
pub fn check(stored: &StoredMedia, kind: &str, pointer: &str) -> Result<(), Error> {
    if stored.media.state == MediaState::Deleted {
        return Err(Error::NotFound);
    }
    if stored.media.kind.as_str() != kind {
        let detail = format!("must be media of kind {kind}");
        return Err(Error::invalid(pointer, detail));
    }
    match stored.media.state {
        MediaState::Ready => Ok(()),
        _ => Err(Error::MediaNotReady),
    }
}

/// The media that a content of this kind names, each with the kind that it must have and its place in the input.
pub fn named<'a>(
    kind: &'a str,
    content: &UploadedContent,
) -> impl Iterator<Item = (MediaId, &'a str, &'static str)> {
    let poster = content.poster_media_id.map(|id| {
        let kind = MediaKind::Image.as_str();
        (id, kind, "/content/poster_media_id")
    });
    let media = (content.media_id, kind, "/content/media_id");
    std::iter::once(media).chain(poster)
}

/// Checks the media of a message that is sent later, and keeps them from being deleted until the transaction ends.
pub fn hold_for_later(
    conn: &mut Connection,
    sender: UserId,
    kind: &str,
    content: &UploadedContent,
) -> StorageResult<Result<(), Error>> {
    let all: Vec<_> = named(kind, content).collect();
    let sources = usable(conn, sender, &all.iter().map(|(id, ..)| *id).collect())?;
    let keys: Vec<_> = sources
        .iter()
        .map(|(id, source)| (source.owner, *id))
        .collect();
    let held = rows::hold(conn, &keys)?;
    for (id, kind, pointer) in all {
        let found = held.iter().find(|stored| stored.media.id == id);
        if let Err(refusal) = found.map_or(Err(Error::NotFound), |one| check(one, kind, pointer)) {
            return Ok(Err(refusal));
        }
    }
    Ok(Ok(()))
}

fn via(one: &MediaReference) -> MessageRef {
    MessageRef {
        conversation_id: one.conversation,
        seq: one.seq,
    }
}

/// Those of these media that the sender may refer to.
pub fn usable(
    conn: &mut Connection,
    sender: UserId,
    ids: &BTreeSet<MediaId>,
) -> StorageResult<HashMap<MediaId, MediaSource>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let keys: Vec<_> = ids.iter().map(|id| (sender, *id)).collect();
    let own = rows::some(conn, &keys)?.into_iter();
    let own = own.filter(|stored| stored.media.state != MediaState::Deleted);
    let mut found: HashMap<_, _> = own
        .map(|stored| {
            let source = MediaSource {
                owner: sender,
                via: None,
            };
            (stored.media.id, source)
        })
        .collect();
    for id in ids {
        if found.contains_key(id) {
            continue;
        }
        let messages = references::of_media(conn, *id, sender)?;
        let keys: Vec<_> = messages.iter().map(|one| (sender, via(one))).collect();
        let seen = archive::seen_by(conn, &keys)?;
        let is_there =
            |one: &&MediaReference| seen.get(&(sender, via(one))) == Some(&Presence::There);
        if let Some(one) = messages.iter().find(is_there) {
            let source = MediaSource {
                owner: one.owner,
                via: Some(via(one)),
            };
            found.insert(*id, source);
        }
    }
    Ok(found)
}

/// The media of messages that the sender forwards.
pub fn of_forwarded(
    conn: &mut Connection,
    messages: &[MessageRef],
) -> StorageResult<HashMap<MediaId, MediaSource>> {
    if messages.is_empty() {
        return Ok(HashMap::new());
    }
    let keys = messages.iter().map(|of| (of.conversation_id, of.seq));
    let found = references::of_messages(conn, &keys.collect::<Vec<_>>())?;
    let source = |one: MediaReference| {
        let source = MediaSource {
            owner: one.owner,
            via: Some(via(&one)),
        };
        (one.media, source)
    };
    Ok(found.into_iter().map(source).collect())
}
