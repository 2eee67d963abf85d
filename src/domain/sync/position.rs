//! The position of a device in its inbox: its check, and the data for a resync.

use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::model::account::Caller;
use crate::model::ids::{Epoch, InboxSeq};
use crate::model::resync::Resync;
use crate::storage::pg::sync::inbox;

/// Refuses a position of another epoch, or beyond the head.
pub async fn check_position(
    delivery: &Delivery,
    caller: Caller,
    since: InboxSeq,
    head: InboxSeq,
    epoch: Option<Epoch>,
) -> Result<(), Error> {
    let changed = epoch.is_some_and(|epoch| epoch != delivery.epoch);
    if !changed && since <= head {
        return Ok(());
    }
    let resync = resync(delivery, caller, head).await?;
    if changed {
        Err(Error::EpochChanged(resync))
    } else {
        Err(Error::CursorAhead(resync))
    }
}

/// The data that a client needs for a resync.
pub async fn resync(delivery: &Delivery, caller: Caller, head: InboxSeq) -> Result<Resync, Error> {
    let first = delivery
        .pg
        .read("first_kept", move |conn| {
            inbox::first_kept(conn, caller.user)
        })
        .await?;
    Ok(Resync {
        epoch: delivery.epoch,
        first_seq: first.unwrap_or(head.next()).0,
        last_seq: head.0,
    })
}
