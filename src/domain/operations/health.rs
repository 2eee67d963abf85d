//! Whether this node should be given requests, and how it fares.

use crate::clock;
use crate::engine::delivery::Delivery;
use crate::engine::lifecycle::{Dependencies, Lifecycle};
use crate::storage::pg::operations::instance;
use crate::telemetry::MetricsError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The state of a node.
#[derive(Debug)]
pub struct Readiness {
    /// What keeps it from being ready, in sentences; empty when it is.
    pub reasons: Vec<String>,
    /// Redis answers.
    pub redis: bool,
}

/// How long what was found holds: anybody may ask, as often as they like.
const FRESH: Duration = Duration::from_millis(500);

/// Looks at everything that this node depends on. Of those who ask at once one asks PostgreSQL and Redis for all.
pub async fn readiness(delivery: &Delivery, lifecycle: &Lifecycle) -> Readiness {
    let mut known = lifecycle.dependencies.lock().await;
    let fresh = known.take_if(|known| known.at.elapsed() < FRESH);
    let found = match fresh {
        Some(found) => found,
        None => look(delivery).await,
    };
    let (mut reasons, redis) = (found.reasons.clone(), found.redis);
    *known = Some(found);
    drop(known);
    if delivery.writers.has_panicked() {
        reasons.push("a writer has ended for a bug: restart this node".to_owned());
    }
    if lifecycle.is_draining() {
        reasons.push("the node is going away".to_owned());
    }
    Readiness { reasons, redis }
}

async fn look(delivery: &Delivery) -> Dependencies {
    let (database, redis) = tokio::join!(
        delivery.pg.read("fitness", instance::readiness_failures),
        delivery.redis.ping()
    );
    // The door has logged why. Anybody may read this answer, and libpq names hosts and users.
    let mut reasons =
        database.unwrap_or_else(|_logged| vec!["PostgreSQL does not answer".to_owned()]);
    let epoch = delivery.pg.read("epoch", instance::epoch).await;
    if epoch.is_ok_and(|epoch| epoch != delivery.epoch) {
        reasons.push("the database began a new epoch: restart this node".to_owned());
    }
    Dependencies {
        at: Instant::now(),
        reasons,
        redis,
    }
}

/// All metrics, in the text format of Prometheus. What changes by itself is looked at now; nothing here asks PostgreSQL,
/// which may be the one in trouble.
pub async fn metrics(delivery: &Delivery, lifecycle: &Lifecycle) -> Result<String, MetricsError> {
    const DAY: f64 = 86_400.0;
    let metrics = &delivery.metrics;
    let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    for (writer, waiting) in delivery.writers.waiting().enumerate() {
        let queue = &metrics.writer_queue;
        queue
            .with_label_values(&[writer.to_string()])
            .set(gauge(waiting));
    }
    metrics.notices_parked.set(gauge(delivery.waiters.asleep()));
    let usage = delivery.pg.usage();
    metrics.postgres_in_use.set(usage.in_use.into());
    metrics.postgres_max.set(usage.max.into());
    metrics.postgres_waiting.set(gauge(usage.waiting));
    let left = lifecycle.partitions_until.load(Ordering::Relaxed) - clock::unix_seconds();
    metrics.partitions_ahead_days.set(left as f64 / DAY);
    metrics
        .redis_available
        .set(i64::from(delivery.redis.ping().await));
    metrics.text()
}
