//! Media that the server keeps: uploads, their processing, access through messages, and the collection of what nobody refers to.

pub mod collection;
pub mod processing;
pub mod reading;
pub mod uploads;

use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::media::MediaService;
use crate::storage::objects::ObjectError;
use std::sync::Arc;

/// The handle for media, if there is a store.
pub fn service(delivery: &Delivery) -> Result<&Arc<MediaService>, Error> {
    delivery.media.as_ref().ok_or(Error::MediaDisabled)
}

/// What a client gets for an error of the store.
pub(super) fn store_error(error: &ObjectError) -> Error {
    log::warn!("media: {error}");
    Error::StorageUnavailable
}
