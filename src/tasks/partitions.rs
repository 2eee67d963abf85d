//! Keeps the inbox's weekly partitions ahead of time, and drops the expired ones.

use crate::app::App;
use crate::domain::error::Error;
use crate::storage::pg::partitions;
use std::time::Duration;

/// Weeks are made weeks ahead, so this need not be often.
const EVERY: Duration = Duration::from_secs(3_600);

/// Makes what is missing. Runs before the server is ready, too.
pub async fn make(app: &App) -> Result<(), Error> {
    log_each(app.pg.read("make_partitions", partitions::make).await?);
    Ok(())
}

async fn expire(app: &App) -> Result<(), Error> {
    let days = app.config.inbox_retention_days;
    let expire = move |conn: &mut _| partitions::expire(conn, days);
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
