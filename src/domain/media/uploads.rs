//! Uploads: created with their size, sent in parts, and completed.
//!
//! Every part is an object of its own. Its key is among those to delete before it is written, and its row names it afterwards. So a part
//! that is sent twice, or whose node dies, leaves nothing that is not deleted later, and the object that is served is made from the parts
//! by the processing: nothing on the wire can reach it.

use crate::clock;
use crate::domain::media::{
    LIFE, UNKEPT_SECONDS, avatars, collection, processing, service, store_error,
};
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::media::MediaService;
use crate::engine::media::part_budget::PartMemory;
use crate::model::account::Caller;
use crate::model::ids::{ClientMediaId, MediaId, UserId};
use crate::model::time::Timestamp;
use crate::model::wire::media::MediaKind;
use crate::model::wire::media::{
    DirectPart, MAX_UPLOADS, Media, MediaState, PART_BYTES, Upload, UploadPart,
};
use crate::storage::error::StorageResult;
use crate::storage::objects::error::ObjectResult;
use crate::storage::pg::Connection;
use crate::storage::pg::media::rows::{self, StoredMedia, object_key};
use crate::storage::pg::media::uploads::StoredPart;
use crate::storage::pg::media::usage::MediaUsage;
use crate::storage::pg::media::{deletions, references, uploads as parts, usage};
use crate::storage::pg::messaging::scheduled;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a client may send parts to the store itself.
const DIRECT_LIFE: Duration = Duration::from_secs(3_600);

/// When the object of a part is deleted that no row names: it is written within seconds.
const UNNAMED_SECONDS: i32 = 15 * 60;

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

/// The parts that a client sends to the store itself, by the number of their digests.
fn direct_parts(id: MediaId, size: i64, count: usize) -> Vec<StoredPart> {
    let numbers = part_numbers(size).take(count);
    let part = |part| {
        Some(StoredPart {
            part,
            size: i32::try_from(part_size(size, part)?).ok()?,
            key: object_key(id, clock::new_id(), "part"),
            is_direct: true,
        })
    };
    numbers.filter_map(part).collect()
}

/// The requests for these parts.
async fn presigned(
    service: &MediaService,
    stored: &StoredMedia,
    parts: &[StoredPart],
    digests: &[String],
) -> Result<Vec<DirectPart>, Error> {
    let mut direct = Vec::new();
    let Some(presigner) = &service.objects.presigner else {
        return Ok(direct);
    };
    for part in parts.iter().filter(|part| part.is_direct) {
        let at = usize::try_from(part.part - 1).unwrap_or(usize::MAX);
        let Some(digest) = digests.get(at) else {
            continue;
        };
        let request = presigner.put(&part.key, digest, DIRECT_LIFE).await;
        let request = request.map_err(|error| Error::Internal(error.to_string()))?;
        direct.push(DirectPart {
            part: part.part,
            url: request.url,
            headers: request.headers,
            expires_at: Timestamp(stored.media.created_at.0 + DIRECT_LIFE),
        });
    }
    Ok(direct)
}

/// The parts that a client was to send to the store, and that it does not have.
async fn missing_direct(service: &MediaService, parts: &[StoredPart]) -> ObjectResult<Vec<i32>> {
    let mut missing = Vec::new();
    for part in parts.iter().filter(|part| part.is_direct) {
        let length = service.objects.length(&part.key).await?;
        if length != u64::try_from(part.size).ok() {
            missing.push(part.part);
        }
    }
    Ok(missing)
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

/// The number of parts of an upload of this size.
pub fn part_count(size: i64) -> usize {
    usize::try_from((size + PART_BYTES - 1) / PART_BYTES).unwrap_or(usize::MAX)
}

/// The numbers of the parts of an upload of this size, from 1.
fn part_numbers(size: i64) -> impl Iterator<Item = i32> {
    (1..).take(part_count(size))
}

/// The size of a part of an upload; none if it has no such part.
fn part_size(size: i64, part: i32) -> Option<i64> {
    let before = (i64::from(part) - 1) * PART_BYTES;
    (part >= 1 && before < size).then(|| PART_BYTES.min(size - before))
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

/// Media of a user that are not deleted.
fn own(conn: &mut Connection, owner: UserId, id: MediaId) -> StorageResult<Option<StoredMedia>> {
    let stored = rows::get(conn, owner, id)?;
    Ok(stored.filter(|stored| stored.media.state != MediaState::Deleted))
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

/// A part that a client may send.
#[derive(Clone, Debug)]
pub struct ExpectedPart {
    owner: UserId,
    media: MediaId,
    part: i32,
    /// Its size in bytes.
    pub size: i64,
    /// The server has it already.
    pub is_repeat: bool,
}

/// Begins a part of an upload of the caller.
pub async fn begin_part(
    delivery: &Delivery,
    caller: Caller,
    id: MediaId,
    part: i32,
) -> Result<ExpectedPart, Error> {
    service(delivery)?;
    let owner = caller.user;
    let read =
        move |conn: &mut Connection| Ok((own(conn, owner, id)?, parts::parts(conn, owner, id)?));
    let (stored, received) = delivery.pg.read("begin_part", read).await?;
    let stored = stored.ok_or(Error::NotFound)?;
    let size = part_size(stored.media.size, part).ok_or(Error::NotFound)?;
    if stored.media.state != MediaState::Uploading {
        return Err(Error::Conflict("the upload is complete"));
    }
    let is_same = |one: &StoredPart| one.part == part && !one.is_direct;
    Ok(ExpectedPart {
        owner,
        media: id,
        part,
        size,
        is_repeat: received.iter().any(is_same),
    })
}

/// Stores a part of an upload, or replaces it. Its task outlives the request: a client that hangs up leaves no object without a row of a
/// part. The guard of its memory is dropped at the end.
pub async fn put_part(
    delivery: &Arc<Delivery>,
    expected: ExpectedPart,
    bytes: Vec<Bytes>,
    memory: PartMemory,
) -> Result<(), Error> {
    let delivery = Arc::clone(delivery);
    let runtime = service(&delivery)?.runtime.clone();
    let task = runtime.spawn(async move {
        let _memory = memory;
        store_part(&delivery, expected, bytes).await
    });
    task.await
        .map_err(|error| Error::Internal(error.to_string()))?
}

async fn store_part(
    delivery: &Delivery,
    expected: ExpectedPart,
    bytes: Vec<Bytes>,
) -> Result<(), Error> {
    let objects = &service(delivery)?.objects;
    let ExpectedPart { owner, media, .. } = expected;
    let stored = StoredPart {
        part: expected.part,
        size: i32::try_from(expected.size).unwrap_or(i32::MAX),
        key: object_key(media, clock::new_id(), "part"),
        is_direct: false,
    };
    let key = [stored.key.clone()];
    let note = move |conn: &mut Connection| deletions::add(conn, &key, UNNAMED_SECONDS);
    delivery.pg.read("begin_object", note).await?;
    let put = objects.put(&stored.key, bytes).await;
    put.map_err(|error| store_error(delivery, &error))?;
    let name = move |conn: &mut Connection| {
        let refusal = match rows::lock(conn, owner, media)?.map(|one| one.media.state) {
            Some(MediaState::Uploading) => None,
            None | Some(MediaState::Deleted) => Some(Error::NotFound),
            Some(_) => Some(Error::Conflict("the upload is complete")),
        };
        if let Some(refusal) = refusal {
            let unneeded = vec![stored.key.clone()];
            deletions::add(conn, &unneeded, 0)?;
            return Ok(Ok((unneeded, Err(refusal))));
        }
        if !deletions::postpone(conn, &stored.key, UNKEPT_SECONDS)? {
            return Ok(Err(Error::StorageUnavailable));
        }
        let before = parts::parts(conn, owner, media)?;
        let replaced = before.into_iter().filter(|one| one.part == stored.part);
        let replaced: Vec<_> = replaced.map(|one| one.key).collect();
        deletions::add(conn, &replaced, 0)?;
        parts::put_part(conn, owner, media, &stored)?;
        Ok(Ok((replaced, Ok(()))))
    };
    let (unneeded, outcome) = delivery.pg.transaction("put_part", name).await??;
    if !unneeded.is_empty() {
        // The collector comes every half a minute: until then a client could fill the disk with repeats.
        let _left = objects.delete(unneeded).await;
    }
    outcome
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
