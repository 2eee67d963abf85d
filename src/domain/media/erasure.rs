//! The names of files whose owner is erased.

use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::model::ids::{MediaId, UserId};
use crate::storage::error::StorageResult;
use crate::storage::pg::Connection;
use crate::storage::pg::media::{references, rows, usage};

/// The most media that are looked up together.
const SLICE: i64 = 500;

/// Forgets what the user has said of media: the requests that created them, and the names of those that no message refers to.
pub async fn forget_names(delivery: &Delivery, user: UserId) -> Result<(), Error> {
    loop {
        let named = move |conn: &mut Connection| rows::requested(conn, user, SLICE);
        let named = delivery.pg.read("requested_media", named).await?;
        if named.is_empty() {
            return Ok(());
        }
        for id in named {
            let forget = move |conn: &mut Connection| forget(conn, user, id).map(Ok::<_, Error>);
            delivery.pg.transaction("forget_name", forget).await??;
        }
    }
}

fn forget(conn: &mut Connection, owner: UserId, id: MediaId) -> StorageResult<()> {
    usage::lock(conn, owner)?;
    let Some(stored) = rows::lock(conn, owner, id)? else {
        return Ok(());
    };
    // After the lock, which a send shares. The name is part of a message, and goes with the last one.
    let is_sent = references::exists(conn, id)?;
    let name = if is_sent { &stored.media.name } else { "" };
    rows::forget_request(conn, owner, id, name)
}
