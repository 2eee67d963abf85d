//! The parts of an upload.
//!
//! Every part is an object of its own. Its key is among those to delete before it is written, and its row names it afterwards. So a part
//! that is sent twice, or whose node dies, leaves nothing that is not deleted later, and the object that is served is made from the parts
//! by the processing: nothing on the wire can reach it.

use crate::clock;
use crate::domain::media::{UNKEPT_SECONDS, own, service, store_error};
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::media::MediaService;
use crate::engine::media::part_budget::PartMemory;
use crate::model::account::Caller;
use crate::model::ids::{MediaId, UserId};
use crate::model::time::Timestamp;
use crate::model::wire::media::{DirectPart, MediaState, PART_BYTES};
use crate::storage::objects::error::ObjectResult;
use crate::storage::pg::Connection;
use crate::storage::pg::media::deletions;
use crate::storage::pg::media::rows::{self, StoredMedia, object_key};
use crate::storage::pg::media::uploads::{self as rows_of_parts, StoredPart};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// How long a client may send parts to the store itself.
const DIRECT_LIFE: Duration = Duration::from_secs(3_600);

/// When the object of a part is deleted that no row names: it is written within seconds.
const UNNAMED_SECONDS: i32 = 15 * 60;

/// The number of parts of an upload of this size.
pub fn part_count(size: i64) -> usize {
    usize::try_from((size + PART_BYTES - 1) / PART_BYTES).unwrap_or(usize::MAX)
}

/// The numbers of the parts of an upload of this size, from 1.
pub(super) fn part_numbers(size: i64) -> impl Iterator<Item = i32> {
    (1..).take(part_count(size))
}

/// The size of a part of an upload; none if it has no such part.
pub(super) fn part_size(size: i64, part: i32) -> Option<i64> {
    let before = (i64::from(part) - 1) * PART_BYTES;
    (part >= 1 && before < size).then(|| PART_BYTES.min(size - before))
}

/// The parts that a client sends to the store itself, by the number of their digests.
pub(super) fn direct_parts(id: MediaId, size: i64, count: usize) -> Vec<StoredPart> {
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
pub(super) async fn presigned(
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
pub(super) async fn missing_direct(
    service: &MediaService,
    parts: &[StoredPart],
) -> ObjectResult<Vec<i32>> {
    let mut missing = Vec::new();
    for part in parts.iter().filter(|part| part.is_direct) {
        let length = service.objects.length(&part.key).await?;
        if length != u64::try_from(part.size).ok() {
            missing.push(part.part);
        }
    }
    Ok(missing)
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
    let read = move |conn: &mut Connection| {
        Ok((
            own(conn, owner, id)?,
            rows_of_parts::parts(conn, owner, id)?,
        ))
    };
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
        let before = rows_of_parts::parts(conn, owner, media)?;
        let replaced = before.into_iter().filter(|one| one.part == stored.part);
        let replaced: Vec<_> = replaced.map(|one| one.key).collect();
        deletions::add(conn, &replaced, 0)?;
        rows_of_parts::put_part(conn, owner, media, &stored)?;
        Ok(Ok((replaced, Ok(()))))
    };
    let (unneeded, outcome) = delivery.pg.transaction("put_part", name).await??;
    if !unneeded.is_empty() {
        // The collector comes every half a minute: until then a client could fill the disk with repeats.
        let _left = objects.delete(unneeded).await;
    }
    outcome
}
