//! The inbox's weekly partitions: made ahead of time, and dropped when they have expired.

use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::lifecycle::Lifecycle;
use crate::storage::pg::sync::partitions;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often a start tries, a second apart, what another node may be about: on a busy disk, and with locks to wait for, that
/// takes longer than a statement may wait.
const TRIES: u32 = 20;

/// Makes what is missing before the server is ready, or waits until the node that is about it has.
pub async fn make_first(delivery: &Delivery, lifecycle: &Lifecycle) -> Result<(), Error> {
    for _ in 1..TRIES {
        // The error was logged by the door.
        if make(delivery, lifecycle).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    make(delivery, lifecycle).await
}

/// Makes what is missing.
pub async fn make(delivery: &Delivery, lifecycle: &Lifecycle) -> Result<(), Error> {
    log_each(
        delivery
            .pg
            .read("make_partitions", partitions::make)
            .await?,
    );
    let until = delivery
        .pg
        .read("partitions_until", partitions::until)
        .await?;
    lifecycle.partitions_until.store(until, Ordering::Relaxed);
    Ok(())
}

/// Drops what has expired.
pub async fn expire(delivery: &Delivery) -> Result<(), Error> {
    let days = delivery.config.inbox_retention_days;
    let expire = move |conn: &mut _| {
        let before = partitions::days_ago(conn, days)?;
        partitions::expire(conn, before)
    };
    log_each(delivery.pg.read("expire_partitions", expire).await?);
    Ok(())
}

fn log_each(statements: Vec<String>) {
    for statement in statements {
        log::info!("partitions: {statement}");
    }
}
