//! Readiness and metrics of this node.

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
    /// Why the node is not ready, in sentences. Empty if it is ready.
    pub reasons: Vec<String>,
    /// Redis answers.
    pub redis: bool,
}

/// How long a result is reused. The endpoint is public, so every client may call it at any rate.
const TTL: Duration = Duration::from_millis(500);

/// Checks the dependencies of this node. Concurrent callers share one check of PostgreSQL and Redis.
pub async fn readiness(delivery: &Delivery, lifecycle: &Lifecycle) -> Readiness {
    let mut known = lifecycle.dependencies.lock().await;
    let fresh = known.take_if(|known| known.at.elapsed() < TTL);
    let found = match fresh {
        Some(found) => found,
        None => check(delivery).await,
    };
    let (mut reasons, redis) = (found.reasons.clone(), found.redis);
    *known = Some(found);
    drop(known);
    if delivery.writers.has_panicked() {
        reasons.push("a writer has ended because of a bug: restart this node".to_owned());
    }
    let online = &delivery.waiters.presence;
    if online.is_on && online.replica.is_reading() {
        reasons.push("the node reads who is online".to_owned());
    }
    if lifecycle.is_draining() {
        reasons.push("the node is shutting down".to_owned());
    }
    Readiness { reasons, redis }
}

async fn check(delivery: &Delivery) -> Dependencies {
    let (database, redis) = tokio::join!(
        delivery.pg.read("fitness", instance::readiness_failures),
        delivery.redis.ping()
    );
    // `Pg` has logged the error. It is not in the response, which is public: libpq names hosts and users.
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

/// All metrics, in the text format of Prometheus. Gauges are read now. This sends no query to PostgreSQL, which may be the
/// failed dependency.
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
    let online = delivery.waiters.presence.replica.count();
    metrics.presence_online.set(gauge(online));
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
