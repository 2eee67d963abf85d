//! The collection of media that nothing refers to, and of objects that nobody needs.

use crate::domain::media::{LIFE, avatars, service};
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::model::ids::{MediaId, UserId};
use crate::model::time::Timestamp;
use crate::model::wire::media::MediaState;
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::media::rows::{self, StoredMedia};
use crate::storage::pg::media::{collection, deletions, references, uploads as parts, usage};
use crate::storage::pg::messaging::scheduled;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// The most rows of a step.
const SLICE: i64 = 100;

/// How long a node may take to delete objects before another one tries, in seconds.
const CLAIM_SECONDS: i32 = 60;

/// Marks media as deleted, gives back what they reserve, and forgets their name. Their objects follow. Under the locks of the owner's usage and of the media.
pub(super) fn delete(
    conn: &mut Connection,
    mut stored: StoredMedia,
    at: Timestamp,
) -> StorageResult<()> {
    let (owner, id) = (stored.owner, stored.media.id);
    let is_open = [MediaState::Uploading, MediaState::Processing].contains(&stored.media.state);
    let received = parts::parts(conn, owner, id)?;
    let part_keys = received.into_iter().map(|part| part.key);
    let keys: Vec<_> = stored.keys().into_iter().chain(part_keys).collect();
    deletions::add(conn, &keys, 0)?;
    parts::delete_parts(conn, owner, id)?;
    usage::add(conn, owner, -stored.reserved, -i32::from(is_open))?;
    stored.media.state = MediaState::Deleted;
    stored.reserved = 0;
    stored.expires_at = Some(Timestamp(at.0 + LIFE));
    rows::write(conn, &stored)?;
    rows::forget_request(conn, owner, id, "")
}

/// Looks at media that are due, or that have lost a reference: those that a message, a user or a group refers to stay, the others are
/// deleted, and the rows of deleted ones end after a day.
fn settle(conn: &mut Connection, owner: UserId, id: MediaId) -> StorageResult<()> {
    let (_, at) = usage::lock(conn, owner)?;
    let stored = rows::lock(conn, owner, id)?;
    // After the lock and before the look: a loss that comes later has a row of its own.
    collection::seen(conn, owner, id)?;
    let Some(mut stored) = stored else {
        return Ok(());
    };
    let is_due = stored.expires_at.is_some_and(|expires_at| expires_at <= at);
    if stored.media.state == MediaState::Deleted {
        return match is_due {
            true => collection::forget(conn, owner, id),
            false => Ok(()),
        };
    }
    // After the lock, which a send shares: a message that refers to it is here, or its send comes later and finds it deleted. The same
    // holds for a user or a group that shows it.
    let is_kept = references::exists(conn, id)? || avatars::is_shown(conn, owner, id)?;
    if !is_kept && !scheduled::refers_to(conn, id)? {
        return delete(conn, stored, at);
    }
    if is_due || !is_kept && stored.expires_at.is_none() {
        // A message that is not sent in the end leaves no other trace.
        stored.expires_at = (!is_kept).then(|| Timestamp(at.0 + LIFE));
        rows::write(conn, &stored)?;
    }
    Ok(())
}

/// A round: media that have lost a reference, media whose time is over, and objects to delete, in turns and until none is left.
pub async fn collect(delivery: &Delivery) -> Result<(), Error> {
    look(delivery).await?;
    loop {
        let lost = |conn: &mut Connection| collection::candidates(conn, SLICE);
        let lost = delivery.pg.read("media_candidates", lost).await?;
        let due = |conn: &mut Connection| collection::due(conn, SLICE);
        let due = delivery.pg.read("media_due", due).await?;
        let is_full = |found: usize| i64::try_from(found) == Ok(SLICE);
        let has_more = is_full(lost.len()) || is_full(due.len());
        let media: BTreeSet<_> = lost.into_iter().chain(due).collect();
        for (owner, id) in media {
            let step = move |conn: &mut Connection| settle(conn, owner, id).map(Ok::<_, Error>);
            delivery.pg.transaction("media_settle", step).await??;
        }
        if !delete_objects(delivery).await? && !has_more {
            return Ok(());
        }
    }
}

/// Looks at whether the store takes uploads.
async fn look(delivery: &Delivery) -> Result<(), Error> {
    let service = service(delivery)?;
    let mut is_full = service.objects.has_less_than(service.config.least_free);
    is_full |= service.objects.check().await.is_err();
    if let Some(most) = service.config.total {
        let total = delivery.pg.read("media_total", usage::total).await?;
        delivery.metrics.media_bytes.set(total);
        service.total.store(total, Ordering::Relaxed);
        is_full |= total >= most;
    }
    service.is_full.store(is_full, Ordering::Relaxed);
    delivery.metrics.media_available.set(i64::from(!is_full));
    Ok(())
}

/// Deletes objects that are due. Returns whether there may be more.
async fn delete_objects(delivery: &Delivery) -> Result<bool, Error> {
    let service = service(delivery)?;
    // Claimed, so that no transaction is open while the store works.
    let claim = |conn: &mut Connection| {
        let keys = deletions::due(conn, SLICE)?;
        deletions::add(conn, &keys, CLAIM_SECONDS)?;
        Ok(Ok::<_, Error>(keys))
    };
    let keys = delivery.pg.transaction("media_objects", claim).await??;
    if keys.is_empty() {
        return Ok(false);
    }
    let left = service.objects.delete(keys.clone()).await;
    let gone: Vec<_> = keys.iter().filter(|key| !left.contains(key)).collect();
    let gone: Vec<_> = gone.into_iter().cloned().collect();
    let has_more = i64::try_from(keys.len()) == Ok(SLICE) && !gone.is_empty();
    let done = move |conn: &mut Connection| {
        deletions::deleted(conn, &gone)?;
        deletions::retry_later(conn, &left)?;
        Ok(Ok::<_, Error>(()))
    };
    delivery
        .pg
        .transaction("media_objects_gone", done)
        .await??;
    Ok(has_more)
}
