//! The objects of the store that clients read.

use crate::domain::media::{service, store_error};
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::model::ids::MediaId;
use crate::model::wire::media::MediaKind;
use crate::model::wire::media::MediaState;
use crate::storage::pg::media::rows::{ORIGINAL, StoredMedia};
use bytes::Bytes;
use std::ops::Range;
use std::time::Duration;

/// The form of a message's media that is the still picture of a video.
pub(super) const POSTER_FORM: &str = "poster";

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
pub(super) fn object(stored: StoredMedia, form: &str) -> Option<ServedObject> {
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
