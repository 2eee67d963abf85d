//! Media that the server keeps: uploads, their processing, access through messages, pictures of users and groups, and the collection of what nobody refers to.

pub mod avatars;
pub mod collection;
pub mod erasure;
pub mod objects;
pub mod parts;
pub mod processing;
pub mod reading;
pub mod uploads;

use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::media::MediaService;
use crate::model::ids::{MediaId, UserId};
use crate::model::wire::media::MediaState;
use crate::storage::error::StorageResult;
use crate::storage::objects::error::ObjectError;
use crate::storage::pg::Connection;
use crate::storage::pg::media::rows::{self, StoredMedia};
use chrono::TimeDelta;
use std::sync::Arc;

/// How long an upload may take, and how long it lives when it is ready and no message refers to it.
const LIFE: TimeDelta = TimeDelta::hours(24);

/// When an object is deleted that was begun and not kept: after two days, longer than an upload lives.
const UNKEPT_SECONDS: i32 = 2 * 86_400;

/// The handle for media, if there is a store.
pub fn service(delivery: &Delivery) -> Result<&Arc<MediaService>, Error> {
    delivery.media.as_ref().ok_or(Error::MediaDisabled)
}

/// What a client gets for an error of the store.
pub(super) fn store_error(delivery: &Delivery, error: &ObjectError) -> Error {
    log::warn!("media: {error}");
    delivery.metrics.media_store_errors.inc();
    Error::StorageUnavailable
}

/// Media of a user that are not deleted.
fn own(conn: &mut Connection, owner: UserId, id: MediaId) -> StorageResult<Option<StoredMedia>> {
    let stored = rows::get(conn, owner, id)?;
    Ok(stored.filter(|stored| stored.media.state != MediaState::Deleted))
}
