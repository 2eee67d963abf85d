//! Uploads: created with their size, sent in [`super::parts`], and completed.

use crate::clock;
use crate::domain::media::parts::{
    direct_parts, missing_direct, part_numbers, part_size, presigned,
};
use crate::domain::media::{
    LIFE, UNKEPT_SECONDS, avatars, collection, own, processing, service, store_error,
};
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::model::account::Caller;
use crate::model::ids::{ClientMediaId, MediaId};
use crate::model::time::Timestamp;
use crate::model::wire::media::MediaKind;
use crate::model::wire::media::{MAX_UPLOADS, Media, MediaState, PART_BYTES, Upload, UploadPart};
use crate::storage::pg::Connection;
use crate::storage::pg::media::rows::{self, StoredMedia};
use crate::storage::pg::media::uploads::StoredPart;
use crate::storage::pg::media::usage::MediaUsage;
use crate::storage::pg::media::{deletions, references, uploads as parts, usage};
use crate::storage::pg::messaging::scheduled;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// An upload to create.
#[derive(Clone, Debug)]
pub struct NewUpload {
    /// The owner's id for it.
    pub client_id: ClientMediaId,
    /// Its kind.
    pub kind: MediaKind,
    /// File name.
    pub name: String,
    /// Media type.
    pub mime: String,
    /// Size in bytes.
    pub size: i64,
    /// The digest, in base64.
    pub sha256: Option<String>,
    /// Width and height in pixels, of a video.
    pub dimensions: Option<(i32, i32)>,
    /// Length in milliseconds, of a video.
    pub duration_ms: Option<i64>,
    /// The digests of the parts, in base64, if the client sends them to the store itself.
    pub part_digests: Vec<String>,
    /// The request, to recognise a repeat.
    pub declared: String,
}

impl NewUpload {
    fn media(&self, id: MediaId, created_at: Timestamp) -> Media {
        Media {
            id,
            kind: self.kind,
            name: self.name.clone(),
            mime: self.mime.clone(),
            size: self.size,
            state: MediaState::Uploading,
            reason: None,
            width: self.dimensions.map(|(width, _)| width),
            height: self.dimensions.map(|(_, height)| height),
            duration_ms: self.duration_ms,
            thumbhash: None,
            variants: Vec::new(),
            sha256: self.sha256.clone(),
            created_at,
        }
    }
}

/// A created upload.
pub struct CreatedUpload {
    /// The upload.
    pub upload: Upload,
    /// It was created before.
    pub replayed: bool,
}

/// Creates an upload, and reserves its size.
pub async fn create(
    delivery: &Delivery,
    caller: Caller,
    new: NewUpload,
) -> Result<CreatedUpload, Error> {
    let service = service(delivery)?;
    let quota = service.config.quota;
    let size = new.size;
    let total = service.total.fetch_add(size, Ordering::Relaxed) + size;
    let is_full = service.is_full.load(Ordering::Relaxed)
        || service.config.total.is_some_and(|most| total > most);
    let (id, owner) = (MediaId(clock::new_id()), caller.user);
    let digests = match service.config.direct {
        true => new.part_digests.clone(),
        false => Vec::new(),
    };
    let direct = direct_parts(id, new.size, digests.len());
    let created = delivery
        .pg
        .transaction("create_media", move |conn| {
            let (used, at) = usage::lock(conn, owner)?;
            if let Some(stored) = rows::of_client(conn, owner, new.client_id)? {
                if stored.declared != new.declared || stored.media.state == MediaState::Deleted {
                    return Ok(Err(Error::ClientMsgIdReused));
                }
                let parts = parts::parts(conn, owner, stored.media.id)?;
                return Ok(Ok((stored, parts, true)));
            }
            if is_full {
                return Ok(Err(Error::StorageUnavailable));
            }
            if let Err(refusal) = check_quota(used, new.size, quota) {
                return Ok(Err(refusal));
            }
            let media = new.media(id, at);
            let expires_at = Timestamp(at.0 + LIFE);
            let client_id = new.client_id;
            parts::create(conn, owner, client_id, &media, &new.declared, expires_at)?;
            usage::add(conn, owner, media.size, 1)?;
            for part in &direct {
                deletions::add(conn, std::slice::from_ref(&part.key), UNKEPT_SECONDS)?;
                parts::put_part(conn, owner, id, part)?;
            }
            let stored = rows::get(conn, owner, id)?.ok_or(Error::NotFound);
            Ok(stored.map(|stored| (stored, direct.clone(), false)))
        })
        .await;
    if !matches!(created, Ok(Ok((_, _, false)))) {
        service.total.fetch_sub(size, Ordering::Relaxed);
    }
    let (stored, parts, replayed) = created??;
    let direct = match digests.is_empty() || stored.media.state != MediaState::Uploading {
        true => None,
        false => Some(presigned(service, &stored, &parts, &digests).await?),
    };
    Ok(CreatedUpload {
        upload: Upload {
            direct,
            ..upload(stored, &parts)
        },
        replayed,
    })
}

fn check_quota(used: MediaUsage, size: i64, quota: i64) -> Result<(), Error> {
    if used.uploads >= MAX_UPLOADS {
        let what = "the most unfinished uploads (media_open_uploads)";
        return Err(Error::LimitReached(what));
    }
    if used.bytes.saturating_add(size) > quota {
        let what = "the most bytes of media (media_quota_bytes)";
        return Err(Error::LimitReached(what));
    }
    Ok(())
}

fn upload(stored: StoredMedia, received: &[StoredPart]) -> Upload {
    let received: HashMap<i32, i64> = received
        .iter()
        .filter(|one| !one.is_direct)
        .map(|one| (one.part, i64::from(one.size)))
        .collect();
    let size = stored.media.size;
    let is_uploading = stored.media.state == MediaState::Uploading;
    let parts = part_numbers(size).filter_map(|part| {
        let size = part_size(size, part)?;
        Some(UploadPart {
            part,
            size,
            received: !is_uploading || received.get(&part) == Some(&size),
        })
    });
    Upload {
        part_bytes: PART_BYTES,
        parts: parts.collect(),
        expires_at: stored.expires_at,
        direct: None,
        media: stored.media,
    }
}

/// What the server has of an upload of the caller.
pub async fn get_upload(delivery: &Delivery, caller: Caller, id: MediaId) -> Result<Upload, Error> {
    service(delivery)?;
    let read = move |conn: &mut Connection| {
        let Some(stored) = own(conn, caller.user, id)? else {
            return Ok(None);
        };
        let parts = parts::parts(conn, caller.user, id)?;
        Ok(Some(upload(stored, &parts)))
    };
    let found = delivery.pg.read("upload", read).await?;
    found.ok_or(Error::NotFound)
}

/// Media of the caller.
pub async fn get(delivery: &Delivery, caller: Caller, id: MediaId) -> Result<StoredMedia, Error> {
    service(delivery)?;
    let read = move |conn: &mut Connection| own(conn, caller.user, id);
    let found = delivery.pg.read("media", read).await?;
    found.ok_or(Error::NotFound)
}

/// Completes an upload of the caller: begins its processing, if it has all parts, and waits for the end for a while.
pub async fn complete(
    delivery: &Arc<Delivery>,
    caller: Caller,
    id: MediaId,
) -> Result<Media, Error> {
    let service = service(delivery)?;
    let (owner, object) = (caller.user, clock::new_id());
    let read = move |conn: &mut Connection| parts::parts(conn, owner, id);
    let received = delivery.pg.read("media_parts", read).await?;
    let missing = missing_direct(service, &received).await;
    let missing = missing.map_err(|error| store_error(delivery, &error))?;
    if !missing.is_empty() {
        return Err(Error::MissingParts(missing));
    }
    let begin = move |conn: &mut Connection| {
        let upload = rows::lock(conn, owner, id)?;
        let upload = upload.filter(|one| one.media.state != MediaState::Deleted);
        let Some(upload) = upload else {
            return Ok(Err(Error::NotFound));
        };
        if upload.media.state != MediaState::Uploading {
            return Ok(Ok(false));
        }
        let received = parts::parts(conn, owner, id)?;
        let is_missing = |part: &i32| !received.iter().any(|one| one.part == *part);
        let missing: Vec<_> = part_numbers(upload.media.size).filter(is_missing).collect();
        if !missing.is_empty() {
            return Ok(Err(Error::MissingParts(missing)));
        }
        processing::begin(conn, owner, id, object)?;
        Ok(Ok(true))
    };
    let begun = delivery.pg.transaction("complete_media", begin).await??;
    if begun {
        processing::spawn(delivery, owner, id, object);
    }
    processing::wait(delivery, owner, id).await
}

/// Deletes media of the caller that nothing refers to.
pub async fn delete(delivery: &Delivery, caller: Caller, id: MediaId) -> Result<(), Error> {
    service(delivery)?;
    let owner = caller.user;
    let delete = move |conn: &mut Connection| {
        let (_, at) = usage::lock(conn, owner)?;
        let Some(stored) = rows::lock(conn, owner, id)? else {
            return Ok(Err(Error::NotFound));
        };
        // After the lock, which a send shares.
        if references::exists(conn, id)? || scheduled::refers_to(conn, id)? {
            let why = "a message refers to it: recall the message";
            return Ok(Err(Error::Conflict(why)));
        }
        if avatars::is_shown(conn, owner, id)? {
            let why = "it is the picture of the caller or of a group: change that";
            return Ok(Err(Error::Conflict(why)));
        }
        if stored.media.state != MediaState::Deleted {
            collection::delete(conn, stored, at)?;
        }
        Ok(Ok(()))
    };
    delivery.pg.transaction("delete_media", delete).await?
}

/// A page of the caller's media.
pub struct OwnMedia {
    /// The media, newest first.
    pub media: Vec<Media>,
    /// There are more.
    pub has_more: bool,
    /// What the caller has reserved, in bytes.
    pub used: i64,
}

/// A page of the caller's media, newest first.
pub async fn page(
    delivery: &Delivery,
    caller: Caller,
    before: Option<MediaId>,
    limit: i64,
) -> Result<OwnMedia, Error> {
    service(delivery)?;
    let owner = caller.user;
    let (found, used) = delivery
        .pg
        .read("media_page", move |conn| {
            let used = usage::get(conn, owner)?.bytes;
            Ok((rows::page(conn, owner, before, limit + 1)?, used))
        })
        .await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = found.len() > limit;
    let media = found.into_iter().take(limit).map(|one| one.media);
    Ok(OwnMedia {
        media: media.collect(),
        has_more,
        used,
    })
}
