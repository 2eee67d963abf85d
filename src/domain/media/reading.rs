//! Who may read media: those who may read a message that refers to them, and until then their owner. Pictures of users and groups are in
//! [`super::avatars`].

use crate::domain::media::objects::{POSTER_FORM, ServedObject, object};
use crate::domain::media::{avatars, service};
use crate::domain::messaging::messages;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::media::links::{LinkTarget, MediaLink};
use crate::model::account::Caller;
use crate::model::ids::{ConvSeq, ConversationId, MediaId, UserId};
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::identity::devices;
use crate::storage::pg::media::references::{self, CONTENT, MediaReference, POSTER};
use crate::storage::pg::media::rows::{self, ORIGINAL, StoredMedia};
use crate::storage::pg::messaging::archive::MessageKey;
use crate::storage::pg::messaging::conversations;
use std::collections::{BTreeMap, HashMap};

/// Which media of a message have this form: the smaller forms of a video are those of its still picture.
fn of_form<'a>(all: &'a [MediaReference], form: &str) -> Option<&'a MediaReference> {
    let of = |role: &str| all.iter().find(|one| one.role == role);
    match form {
        ORIGINAL => of(CONTENT),
        POSTER_FORM => of(POSTER),
        _ => of(POSTER).or_else(|| of(CONTENT)),
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
    let found = references::of_messages(conn, &[(conversation, seq)])?;
    match of_form(&found, form) {
        Some(one) => rows::get(conn, one.owner, one.media),
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

/// The object that a link opens, if its member is still logged in and may still read it.
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
        match link.target {
            LinkTarget::Message(id, seq, form) => of_visible(conn, link.user, (id, seq), form),
            LinkTarget::User(id) => avatars::stored_of_user(conn, id),
            LinkTarget::Conversation(id) => avatars::stored_of_group(conn, link.user, id),
        }
    };
    let stored = delivery.pg.read("linked_media", read).await?;
    let stored = stored.filter(|stored| stored.media.id == opened.media);
    let object = stored.and_then(|stored| match opened.target {
        LinkTarget::Message(_, _, form) => object(stored, form),
        LinkTarget::User(_) | LinkTarget::Conversation(_) => avatars::object(stored),
    });
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

/// The link to each of these, with the end of its validity in seconds since 1970; none where the caller may not read the message,
/// or where there is no such form.
pub async fn links(
    delivery: &Delivery,
    caller: Caller,
    wanted: Vec<WantedLink>,
    now: i64,
) -> Result<Vec<Option<(String, i64)>>, Error> {
    let keys = &service(delivery)?.links;
    let all = wanted.clone();
    let (messages, media) = delivery
        .pg
        .read("media_links", move |conn| readable(conn, caller, &all))
        .await?;
    let link = |one: &WantedLink| {
        let all = messages.get(&(one.conversation, one.seq))?;
        let media = media.get(&of_form(all, one.form)?.media)?;
        object(media.clone(), one.form)?;
        let link = MediaLink {
            user: caller.user,
            device: caller.device,
            target: LinkTarget::Message(one.conversation, one.seq, one.form),
            media: media.media.id,
        };
        Some(keys.seal(&link, now))
    };
    Ok(wanted.iter().map(link).collect())
}

/// Messages with what they refer to, and the media.
type Readable = (
    HashMap<MessageKey, Vec<MediaReference>>,
    HashMap<MediaId, StoredMedia>,
);

/// The media of these messages, as far as the caller may read them.
fn readable(
    conn: &mut Connection,
    caller: Caller,
    wanted: &[WantedLink],
) -> StorageResult<Readable> {
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
        return Ok(Readable::default());
    }
    let found = references::of_messages(conn, &visible)?;
    let keys: Vec<_> = found.iter().map(|one| (one.owner, one.media)).collect();
    let media = rows::some(conn, &keys)?.into_iter();
    let mut messages: HashMap<_, Vec<_>> = HashMap::new();
    for one in found {
        let all = messages.entry((one.conversation, one.seq)).or_default();
        all.push(one);
    }
    Ok((messages, media.map(|one| (one.media.id, one)).collect()))
}
