//! The processing of a complete upload: the parts are read once, and become the objects that are served.
//!
//! A run has a lease, which it renews. If its node dies, any other one begins a new run, with other keys. A run ends with `ready` or
//! `rejected`, or leaves the upload to the next one: while the store or the scanner is away, for as long as it takes.

use crate::clock;
use crate::domain::media::{LIFE, UNKEPT_SECONDS, service};
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::media::MediaService;
use crate::engine::media::decoder::DecoderError;
use crate::engine::media::reader::{self, FoundMedia, ReadError, RejectionReason};
use crate::model::ids::{MediaId, UserId};
use crate::model::time::Timestamp;
use crate::model::wire::media::{Media, MediaState};
use crate::storage::error::StorageResult;
use crate::storage::objects::error::ObjectError;
use crate::storage::pg::Connection;
use crate::storage::pg::media::rows::{self, ORIGINAL, StoredMedia};
use crate::storage::pg::media::{deletions, uploads as parts, usage};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// How long a run may be silent before another one takes over, in seconds.
const LEASE_SECONDS: i32 = 30;

/// How often a run renews its lease.
const RENEWAL: Duration = Duration::from_secs(10);

/// How long `complete` waits for the end.
const WAIT: Duration = Duration::from_secs(10);

/// The time between two looks of such a wait, at first and at most. The end of a run on this node is looked at immediately.
const LOOKS: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(250)];

/// How often a decoder may fail without a verdict.
const MAX_FAILURES: i32 = 3;

/// The most runs that a node takes over in a round.
const TAKEOVERS: i64 = 4;

/// Begins a run. Under the lock of the upload.
pub(super) fn begin(
    conn: &mut Connection,
    owner: UserId,
    id: MediaId,
    object: Uuid,
) -> StorageResult<()> {
    parts::begin(conn, owner, id, object, LEASE_SECONDS)?;
    let stored = rows::get(conn, owner, id)?;
    let keys = stored.map(|stored| stored.keys());
    deletions::add(conn, &keys.unwrap_or_default(), UNKEPT_SECONDS)
}

/// Runs it in the background: it outlives the request.
pub(super) fn spawn(delivery: &Arc<Delivery>, owner: UserId, id: MediaId, object: Uuid) {
    let Ok(service) = service(delivery) else {
        return;
    };
    let (delivery, service) = (Arc::clone(delivery), Arc::clone(service));
    let runtime = service.runtime.clone();
    runtime.spawn(async move {
        let renew =
            move |conn: &mut Connection| parts::renew(conn, owner, id, object, LEASE_SECONDS);
        let renewal = async {
            loop {
                sleep(RENEWAL).await;
                if let Ok(false) = delivery.pg.read("media_lease", renew).await {
                    return;
                }
            }
        };
        let run = async {
            if let Err(error) = run(&delivery, &service, owner, id, object).await {
                log::warn!("media: {id} is not processed yet: {error}");
                delivery.metrics.media_store_errors.inc();
                let end = move |conn: &mut Connection| parts::end_lease(conn, owner, id, object);
                // Another run follows soon, or when the lease ends.
                let _ended = delivery.pg.read("media_lease_end", end).await;
            }
            service.ended.notify_waiters();
        };
        tokio::select! { () = renewal => {}, () = run => {} }
    });
}

/// Takes over runs that have stopped.
pub async fn take_over(delivery: &Arc<Delivery>) -> Result<(), Error> {
    let abandoned = |conn: &mut Connection| parts::abandoned(conn, TAKEOVERS);
    for (owner, id) in delivery.pg.read("media_abandoned", abandoned).await? {
        let object = clock::new_id();
        let take = move |conn: &mut Connection| {
            rows::lock(conn, owner, id)?;
            let is_abandoned = parts::is_abandoned(conn, owner, id)?;
            if is_abandoned {
                begin(conn, owner, id, object)?;
            }
            Ok(Ok::<_, Error>(is_abandoned))
        };
        if delivery.pg.transaction("media_take_over", take).await?? {
            spawn(delivery, owner, id, object);
        }
    }
    Ok(())
}

/// Waits until the upload is no longer `processing`, for a while.
pub(super) async fn wait(delivery: &Delivery, owner: UserId, id: MediaId) -> Result<Media, Error> {
    let until = Instant::now() + WAIT;
    let [mut pause, longest] = LOOKS;
    let service = service(delivery)?;
    loop {
        let ended = service.ended.notified();
        let read = move |conn: &mut Connection| rows::get(conn, owner, id);
        let stored = delivery.pg.read("media", read).await?;
        let media = stored.ok_or(Error::NotFound)?.media;
        match media.state {
            MediaState::Deleted => return Err(Error::NotFound),
            MediaState::Processing if Instant::now() < until => {}
            _ => return Ok(media),
        }
        tokio::select! { () = sleep(pause) => {}, () = ended => {} }
        pause = (2 * pause).min(longest);
    }
}

async fn run(
    delivery: &Delivery,
    service: &MediaService,
    owner: UserId,
    id: MediaId,
    object: Uuid,
) -> Result<(), ReadError> {
    let Some(_turn) = service.runs.take(owner).await else {
        return pending().await;
    };
    let read = move |conn: &mut Connection| {
        let upload = rows::get(conn, owner, id)?;
        Ok((upload, parts::parts(conn, owner, id)?))
    };
    let (upload, received) = delivery.pg.read("media_run", read).await?;
    let Some(upload) = upload.filter(|upload| upload.object == Some(object)) else {
        return Ok(());
    };
    let verdict = match reader::read(service, &upload, &received).await {
        Err(ReadError::Decoder(DecoderError::Failed(why))) => {
            let failed = move |conn: &mut Connection| parts::failed(conn, owner, id);
            if delivery.pg.read("media_failed", failed).await? < MAX_FAILURES {
                return Err(DecoderError::Failed(why).into());
            }
            log::warn!("media: {id} is rejected, because no decoder could read it: {why}");
            Err("damaged")
        }
        other => other?,
    };
    let finish = move |conn: &mut Connection| finish(conn, owner, id, object, &verdict);
    Ok(delivery.pg.transaction("media_end", finish).await??)
}

/// Stores the result of a run, unless another one has taken over.
fn finish(
    conn: &mut Connection,
    owner: UserId,
    id: MediaId,
    object: Uuid,
    verdict: &Result<FoundMedia, RejectionReason>,
) -> StorageResult<Result<(), ObjectError>> {
    let (_, at) = usage::lock(conn, owner)?;
    let stored = rows::lock(conn, owner, id)?;
    let is_own =
        |one: &StoredMedia| one.media.state == MediaState::Processing && one.object == Some(object);
    let Some(mut stored) = stored.filter(is_own) else {
        return Ok(Ok(()));
    };
    let received = parts::parts(conn, owner, id)?;
    let part_keys: Vec<_> = received.into_iter().map(|part| part.key).collect();
    deletions::add(conn, &part_keys, 0)?;
    parts::delete_parts(conn, owner, id)?;
    stored.expires_at = Some(Timestamp(at.0 + LIFE));
    let media = &mut stored.media;
    let before = stored.reserved;
    match verdict {
        Ok(found) => {
            media.state = MediaState::Ready;
            media.mime.clone_from(&found.mime);
            media.size = found.size;
            media.sha256 = Some(found.sha256.clone());
            media.width = found.width.or(media.width);
            media.height = found.height.or(media.height);
            media.thumbhash.clone_from(&found.thumbhash);
            media.variants.clone_from(&found.variants);
            stored.reserved = found.size;
            let variants = &stored.media.variants;
            let forms = variants.iter().map(|one| one.name.as_str());
            let forms = forms.chain([ORIGINAL]);
            let kept: Vec<_> = forms.filter_map(|form| stored.key(form)).collect();
            if deletions::keep(conn, &kept)? != kept.len() {
                return Ok(Err(ObjectError::Missing));
            }
        }
        Err(reason) => {
            media.state = MediaState::Rejected;
            media.reason = Some((*reason).to_owned());
            stored.reserved = 0;
            deletions::add(conn, &stored.keys(), 0)?;
        }
    }
    usage::add(conn, owner, stored.reserved - before, -1)?;
    rows::write(conn, &stored)?;
    Ok(Ok(()))
}
