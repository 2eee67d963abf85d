//! What is kept, and for how long. Messages are kept for good; inbox entries for a while, after which a device starts over
//! (`inbox_trimmed`) from the list of conversations.

use crate::app::App;
use crate::domain::error::Error;
use crate::model::ids::{Epoch, UserId};
use crate::model::time::Timestamp;
use crate::storage::pg::{inbox, instance, partitions};

/// Users of one step of [`expire_before`], which locks nothing that others wait for, and is short.
const STEP: i64 = 1_000;

/// Drops the inbox entries before a moment, while nodes may serve, and says how many went one by one: those of whole
/// weeks go uncounted, as tables.
pub async fn expire_before(app: &App, before: Timestamp) -> Result<usize, Error> {
    let weeks = move |conn: &mut _| partitions::expire(conn, before);
    app.pg.read("expire_partitions", weeks).await?;
    let mut after: Option<UserId> = None;
    let mut gone = 0;
    loop {
        let step = move |conn: &mut _| inbox::expire(conn, after, STEP, before);
        match app.pg.read("expire_inbox", step).await? {
            Some((last, count)) => {
                after = Some(last);
                gone += count;
            }
            None => return Ok(gone),
        }
    }
}

/// Begins a new epoch, after a backup was restored and before nodes serve: positions of the life that the database has
/// forgotten must not be taken for its own.
pub async fn new_epoch(app: &App) -> Result<Epoch, Error> {
    app.pg
        .transaction("new_epoch", |conn| instance::new_epoch(conn).map(Ok))
        .await?
}
