//! What is kept, and for how long. Messages are kept for good; inbox entries for a while, after which a device starts over
//! (`inbox_trimmed`) from the list of conversations.

use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::model::ids::{Epoch, UserId};
use crate::model::time::Timestamp;
use crate::storage::error::StorageError;
use crate::storage::pg::operations::instance;
use crate::storage::pg::sync::{inbox, partitions};
use std::convert::Infallible;
use std::time::Duration;

/// Users of one step of [`expire_before`], which locks nothing that others wait for, and is short.
const STEP: i64 = 1_000;

/// How often the epoch is read after an error, and the pause between: a server that was lost may take so long to come back.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);

/// Why no new epoch is known to have begun.
#[derive(Debug, thiserror::Error)]
pub enum NoNewEpoch {
    /// The transaction did nothing.
    #[error("the epoch is the old one: {0}")]
    Old(StorageError),
    /// PostgreSQL does not say.
    #[error(
        "whether a new epoch was begun is unknown, so run this again (one more does no harm): {0}"
    )]
    Unknown(StorageError),
}

/// Drops the inbox entries before a moment, while nodes may serve, and says how many went one by one, and how many so far:
/// those of whole weeks go uncounted, as tables, which are logged. A moment in the future is a mistake that would leave nothing.
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
    let mut gone = 0;
    loop {
        let step = move |conn: &mut _| inbox::expire(conn, after, STEP, before);
        match delivery.pg.read("expire_inbox", step).await? {
            Some((last, count)) => {
                after = Some(last);
                gone += count;
                dropped(gone);
            }
            None => return Ok(gone),
        }
    }
}

/// Begins a new epoch, after a backup was restored and before nodes serve: positions of the life that the database has
/// forgotten must not be taken for its own. Tells how many inbox heads it has moved.
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
    // The commit may have taken hold all the same, or may be about to.
    for _ in 0..TRIES {
        match delivery.pg.read("epoch", instance::settled_epoch).await {
            Ok(epoch) if epoch == delivery.epoch => return Err(NoNewEpoch::Old(error)),
            Ok(epoch) => return Ok(epoch),
            Err(_logged) => tokio::time::sleep(PAUSE).await,
        }
    }
    Err(NoNewEpoch::Unknown(error))
}
