//! Who may read media: those who may read a message that refers to them, and until then their owner.

use crate::domain::media::{service, store_error};
use crate::domain::messaging::messages;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::media::links::MediaLink;
use crate::model::account::Caller;
use crate::model::ids::{ConvSeq, ConversationId, MediaId, UserId};
use crate::model::wire::media::MediaKind;
use crate::model::wire::media::MediaState;
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::identity::devices;
use crate::storage::pg::media::references::{self, CONTENT, MediaReference, POSTER};
use crate::storage::pg::media::rows::{self, ORIGINAL, StoredMedia};
use crate::storage::pg::messaging::archive::MessageKey;
use crate::storage::pg::messaging::conversations;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::Duration;

/// The form of a message's media that is the still picture of a video.
const POSTER_FORM: &str = "poster";

/// How long a client may read from the store itself.
const REDIRECT_LIFE: Duration = Duration::from_secs(60);

/// An object that a client may read.
#[derive(Clone, Debug)]
pub struct ServedObject {
    /// The media.
    pub media: MediaId,
    /// The kind.
    pub kind: MediaKind,
    /// The form that is served, which may be a larger one than the requested one.
    pub form: String,
    /// File name.
    pub name: String,
    /// Media type.
    pub mime: String,
    /// Size in bytes.
    pub size: u64,
    key: String,
}

/// The object of this form; for a form that a small picture does not have, the next larger one.
fn object(stored: StoredMedia, form: &str) -> Option<ServedObject> {
    let media = &stored.media;
    if media.state != MediaState::Ready || form != ORIGINAL && media.kind != MediaKind::Image {
        return None;
    }
    let wanted: &[&str] = match form {
        "small" => &["small", "medium"],
        "medium" | POSTER_FORM => &["medium"],
        _ => &[],
    };
    let variants = media.variants.iter();
    let found = wanted
        .iter()
        .find_map(|name| variants.clone().find(|one| one.name == *name));
    let (form, mime, size) = match found {
        Some(variant) => (&*variant.name, &variant.mime, variant.size),
        None => (ORIGINAL, &media.mime, media.size),
    };
    Some(ServedObject {
        media: media.id,
        kind: media.kind,
        form: form.to_owned(),
        name: media.name.clone(),
        mime: mime.clone(),
        size: u64::try_from(size).ok()?,
        key: stored.key(form)?,
    })
}

fn role(form: &str) -> &'static str {
    match form {
        POSTER_FORM => POSTER,
        _ => CONTENT,
    }
}

/// The media of a message that the caller may read.
fn of_visible(
    conn: &mut Connection,
    user: UserId,
    (conversation, seq): MessageKey,
    form: &str,
) -> StorageResult<Option<StoredMedia>> {
    let Some(view) = conversations::view(conn, conversation, user)? else {
        return Ok(None);
    };
    let shown = messages::shown(conn, user, conversation, &view, [seq].into_iter())?;
    if !shown.iter().any(|message| !message.is_stub()) {
        return Ok(None);
    }
    match references::get(conn, (conversation, seq), role(form))? {
        Some((owner, id)) => rows::get(conn, owner, id),
        None => Ok(None),
    }
}

/// The object of a message's media, if the caller may read the message.
pub async fn of_message(
    delivery: &Delivery,
    caller: Caller,
    message: MessageKey,
    form: &'static str,
) -> Result<ServedObject, Error> {
    service(delivery)?;
    let read = move |conn: &mut Connection| of_visible(conn, caller.user, message, form);
    let stored = delivery.pg.read("message_media", read).await?;
    let object = stored.and_then(|stored| object(stored, form));
    object.ok_or(Error::NotFound)
}

/// The object that a link opens, if its member is still logged in and may still read the message.
pub async fn of_link(
    delivery: &Delivery,
    token: &str,
    now: i64,
) -> Result<(MediaLink, ServedObject), Error> {
    let link = service(delivery)?.links.open(token, now);
    let link = link.ok_or(Error::NotFound)?;
    let opened = link.clone();
    let read = move |conn: &mut Connection| {
        if !devices::exists(conn, link.user, link.device)? {
            return Ok(None);
        }
        let message = (link.conversation, link.seq);
        of_visible(conn, link.user, message, link.variant)
    };
    let stored = delivery.pg.read("linked_media", read).await?;
    let stored = stored.filter(|stored| stored.media.id == opened.media);
    let object = stored.and_then(|stored| object(stored, opened.variant));
    Ok((opened, object.ok_or(Error::NotFound)?))
}

/// The object of the caller's own media.
pub async fn own(
    delivery: &Delivery,
    caller: Caller,
    id: MediaId,
    form: &str,
) -> Result<ServedObject, Error> {
    let stored = super::uploads::get(delivery, caller, id).await?;
    object(stored, form).ok_or(Error::NotFound)
}

/// A form of a message's media.
#[derive(Clone, Copy, Debug)]
pub struct WantedLink {
    /// The conversation of the message.
    pub conversation: ConversationId,
    /// The message.
    pub seq: ConvSeq,
    /// The form.
    pub form: &'static str,
}

/// The link to each of these, with the end of its validity in seconds since 1970; none where the caller may not read the message.
pub async fn links(
    delivery: &Delivery,
    caller: Caller,
    wanted: Vec<WantedLink>,
    now: i64,
) -> Result<Vec<Option<(String, i64)>>, Error> {
    let keys = &service(delivery)?.links;
    let all = wanted.clone();
    let found = delivery
        .pg
        .read("media_links", move |conn| readable(conn, caller, &all))
        .await?;
    let link = |one: &WantedLink| {
        let media = found.get(&((one.conversation, one.seq), role(one.form)))?;
        let link = MediaLink {
            user: caller.user,
            device: caller.device,
            conversation: one.conversation,
            seq: one.seq,
            media: *media,
            variant: one.form,
        };
        Some(keys.seal(&link, now))
    };
    Ok(wanted.iter().map(link).collect())
}

/// The media of these messages, as far as the caller may read them.
fn readable(
    conn: &mut Connection,
    caller: Caller,
    wanted: &[WantedLink],
) -> StorageResult<HashMap<(MessageKey, &'static str), MediaId>> {
    let mut by_conversation: BTreeMap<ConversationId, Vec<ConvSeq>> = BTreeMap::new();
    for one in wanted {
        let seqs = by_conversation.entry(one.conversation).or_default();
        seqs.push(one.seq);
    }
    let mut visible = Vec::new();
    for (id, seqs) in by_conversation {
        if let Some(view) = conversations::view(conn, id, caller.user)? {
            let shown = messages::shown(conn, caller.user, id, &view, seqs.into_iter())?;
            let there = shown.iter().filter(|message| !message.is_stub());
            visible.extend(there.map(|message| (id, message.seq)));
        }
    }
    if visible.is_empty() {
        return Ok(HashMap::new());
    }
    let found = references::of_messages(conn, &visible)?;
    let entry = |one: MediaReference| {
        let role = [CONTENT, POSTER]
            .into_iter()
            .find(|role| *role == one.role)?;
        Some((((one.conversation, one.seq), role), one.media))
    };
    Ok(found.into_iter().filter_map(entry).collect())
}

/// Where a client reads an object from the store itself, if the operator has chosen so.
pub async fn redirection(
    delivery: &Delivery,
    object: &ServedObject,
    content_type: &str,
    disposition: &str,
) -> Result<Option<String>, Error> {
    let service = service(delivery)?;
    let presigner = service.objects.presigner.as_ref();
    let Some(presigner) = presigner.filter(|_| service.config.redirect) else {
        return Ok(None);
    };
    let url = presigner.get(&object.key, content_type, disposition, REDIRECT_LIFE);
    let url = url.await.map_err(|error| store_error(delivery, &error))?;
    Ok(Some(url))
}

/// A range of the bytes of an object.
pub async fn bytes(
    delivery: &Delivery,
    object: &ServedObject,
    range: Range<u64>,
) -> Result<Bytes, Error> {
    let objects = &service(delivery)?.objects;
    let bytes = objects.range(&object.key, range).await;
    bytes.map_err(|error| store_error(delivery, &error))
}
