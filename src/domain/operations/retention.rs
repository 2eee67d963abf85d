//! Retention. Messages are kept permanently. Inbox entries expire, and a device with an older position has to resync
//! (`inbox_trimmed`).

use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::model::ids::{Epoch, UserId};
use crate::model::time::Timestamp;
use crate::storage::error::StorageError;
use crate::storage::pg::operations::instance;
use crate::storage::pg::sync::{inbox, partitions};
use std::convert::Infallible;
use std::time::Duration;

/// Users in one statement of [`expire_before`], so that it is short. It takes no locks that block other transactions.
const CHUNK: i64 = 1_000;

/// How often the epoch is read after an error, and the pause between: a failover may take 60 s.
const MAX_ATTEMPTS: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);

/// Why it is not known that a new epoch has begun.
#[derive(Debug, thiserror::Error)]
pub enum NoNewEpoch {
    /// The transaction was not committed.
    #[error("the epoch is the old one: {0}")]
    Old(StorageError),
    /// PostgreSQL does not answer.
    #[error(
        "whether a new epoch was begun is unknown, so run this again (one more does no harm): {0}"
    )]
    Unknown(StorageError),
}

/// Deletes the inbox entries before a time, while nodes may serve. Returns the number of entries that were deleted row by
/// row, and calls `dropped` with the number so far. Whole weeks are dropped as tables, which are logged and not counted. A
/// time in the future is refused: it would delete everything.
pub async fn expire_before(
    delivery: &Delivery,
    before: Timestamp,
    dropped: impl Fn(usize),
) -> Result<usize, Error> {
    let now = |conn: &mut _| partitions::days_ago(conn, 0);
    let now = delivery.pg.read("clock", now).await?;
    if before > now {
        let detail = format!("must not be in the future: the database has {now}");
        return Err(Error::invalid("--before", detail));
    }
    let weeks = move |conn: &mut _| partitions::expire(conn, before);
    for statement in delivery.pg.read("expire_partitions", weeks).await? {
        log::info!("partitions: {statement}");
    }
    let mut after: Option<UserId> = None;
    let mut deleted = 0;
    loop {
        let step = move |conn: &mut _| inbox::expire(conn, after, CHUNK, before);
        match delivery.pg.read("expire_inbox", step).await? {
            Some((last, count)) => {
                after = Some(last);
                deleted += count;
                dropped(deleted);
            }
            None => return Ok(deleted),
        }
    }
}

/// Begins a new epoch, after a backup was restored and before nodes serve: positions of the lost epoch must not be used with
/// the restored data. Calls `moved` with the number of inbox heads that it has moved.
pub async fn new_epoch(
    delivery: &Delivery,
    moved: impl Fn(usize) + Send + 'static,
) -> Result<Epoch, NoNewEpoch> {
    let begun = delivery
        .pg
        .transaction("new_epoch", move |conn| {
            instance::new_epoch(conn, &moved).map(Ok::<_, Infallible>)
        })
        .await;
    let error = match begun {
        Ok(Ok(epoch)) => return Ok(epoch),
        Err(error) => error,
    };
    // The transaction may have been committed all the same, or may still be.
    for _ in 0..MAX_ATTEMPTS {
        match delivery.pg.read("epoch", instance::settled_epoch).await {
            Ok(epoch) if epoch == delivery.epoch => return Err(NoNewEpoch::Old(error)),
            Ok(epoch) => return Ok(epoch),
            Err(_logged) => tokio::time::sleep(PAUSE).await,
        }
    }
    Err(NoNewEpoch::Unknown(error))
}
