//! The inbox's weekly partitions: created in advance, and dropped when they have expired.

use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::lifecycle::Lifecycle;
use crate::storage::pg::sync::partitions;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often a starting node tries, with a second between attempts. Another node may be creating the same partitions, and on
/// a busy disk or behind locks that takes longer than the time-out of a statement.
const MAX_ATTEMPTS: u32 = 20;

/// Creates missing partitions before the node is ready, or waits until another node has created them.
pub async fn make_first(delivery: &Delivery, lifecycle: &Lifecycle) -> Result<(), Error> {
    for _ in 1..MAX_ATTEMPTS {
        // `Pg` has logged the error.
        if make(delivery, lifecycle).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    make(delivery, lifecycle).await
}

/// Creates missing partitions.
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

/// Drops expired partitions.
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
