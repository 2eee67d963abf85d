//! Keeps the inbox's weekly partitions ahead of time, and drops the expired ones.

use crate::app::App;
use crate::domain::error::Error;
use crate::storage::pg::partitions;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Weeks are made weeks ahead, so this need not be often.
const EVERY: Duration = Duration::from_secs(3_600);

/// How often a start tries, a second apart, what another node may be about: on a busy disk, and with locks to wait for, that
/// takes longer than a statement may wait.
const TRIES: u32 = 20;

/// Makes what is missing before the server is ready, or waits until the node that is about it has.
pub async fn make_first(app: &App) -> Result<(), Error> {
    for _ in 1..TRIES {
        // The error was logged by the door.
        if make(app).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    make(app).await
}

/// Makes what is missing.
async fn make(app: &App) -> Result<(), Error> {
    log_each(app.pg.read("make_partitions", partitions::make).await?);
    let until = app.pg.read("partitions_until", partitions::until).await?;
    app.partitions_until.store(until, Ordering::Relaxed);
    Ok(())
}

async fn expire(app: &App) -> Result<(), Error> {
    let days = app.config.inbox_retention_days;
    let expire = move |conn: &mut _| {
        let before = partitions::days_ago(conn, days)?;
        partitions::expire(conn, before)
    };
    log_each(app.pg.read("expire_partitions", expire).await?);
    Ok(())
}

fn log_each(statements: Vec<String>) {
    for statement in statements {
        log::info!("partitions: {statement}");
    }
}

/// Keeps at it until it is dropped.
pub async fn run(app: &App) {
    loop {
        // Errors were logged by the door, and the next round tries again; a transaction that misses a partition makes it.
        let _later = make(app).await;
        let _later = expire(app).await;
        tokio::time::sleep(EVERY).await;
    }
}
