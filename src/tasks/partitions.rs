//! Keeps the inbox's weekly partitions ahead of time, and drops the expired ones.

use crate::app::App;
use crate::domain::error::Error;
use crate::storage::pg::partitions;
use std::time::Duration;

/// Weeks are made weeks ahead, so this need not be often.
const EVERY: Duration = Duration::from_secs(3_600);

/// Upkeep, once. Runs before the server is ready, too.
pub async fn upkeep(app: &App) -> Result<(), Error> {
    let days = app.config.inbox_retention_days;
    let ran = app
        .pg
        .read("partitions", move |conn| partitions::upkeep(conn, days))
        .await?;
    for statement in ran {
        log::info!("partitions: {statement}");
    }
    Ok(())
}

/// Keeps at it until it is dropped.
pub async fn run(app: &App) {
    loop {
        tokio::time::sleep(EVERY).await;
        // An error was logged by the door; the writers make a missing partition themselves.
        let _later = upkeep(app).await;
    }
}
