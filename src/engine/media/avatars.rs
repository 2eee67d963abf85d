//! Changes of uploaded pictures of users, groups and channels.

use crate::engine::error::Error;
use crate::engine::media::sources::check;
use crate::model::ids::{MediaId, UserId};
use crate::model::wire::media::MediaKind;
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::media::{references, rows};
use crate::storage::pg::people::profiles;

/// Checks a new picture of a user or a group, one of the owner's own, and keeps it from being deleted until the transaction ends.
pub fn hold(conn: &mut Connection, owner: UserId, id: MediaId) -> StorageResult<Result<(), Error>> {
    let held = rows::hold(conn, &[(owner, id)])?;
    let kind = MediaKind::Image.as_str();
    let found = held.first();
    Ok(found.map_or(Err(Error::NotFound), |one| {
        check(one, kind, "/avatar_media_id")
    }))
}

/// Notes the uploaded picture of a user; the one before loses a reference. Under the lock of the account.
pub fn set_of_user(
    conn: &mut Connection,
    user: UserId,
    media: Option<MediaId>,
) -> StorageResult<()> {
    match profiles::set_avatar(conn, user, media)? {
        Some(before) => release(conn, user, before),
        None => Ok(()),
    }
}

/// Leaves a picture that is not shown any more to the collector.
pub fn release(conn: &mut Connection, owner: UserId, id: MediaId) -> StorageResult<()> {
    references::lost(conn, owner, id)
}
