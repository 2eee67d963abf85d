//! Whether this node should be given requests, and how it fares.

use crate::clock;
use crate::engine::handles::{App, Dependencies};
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
pub async fn readiness(app: &App) -> Readiness {
    let mut known = app.dependencies.lock().await;
    let fresh = known.take_if(|known| known.at.elapsed() < FRESH);
    let found = match fresh {
        Some(found) => found,
        None => look(app).await,
    };
    let (mut reasons, redis) = (found.reasons.clone(), found.redis);
    *known = Some(found);
    drop(known);
    if app.writers.has_panicked() {
        reasons.push("a writer has ended for a bug: restart this node".to_owned());
    }
    if app.draining.load(Ordering::Acquire) {
        reasons.push("the node is going away".to_owned());
    }
    Readiness { reasons, redis }
}

async fn look(app: &App) -> Dependencies {
    let (database, redis) = tokio::join!(
        app.pg.read("fitness", instance::readiness_failures),
        app.redis.ping()
    );
    // The door has logged why. Anybody may read this answer, and libpq names hosts and users.
    let mut reasons =
        database.unwrap_or_else(|_logged| vec!["PostgreSQL does not answer".to_owned()]);
    let epoch = app.pg.read("epoch", instance::epoch).await;
    if epoch.is_ok_and(|epoch| epoch != app.epoch) {
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
pub async fn metrics(app: &App) -> Result<String, MetricsError> {
    const DAY: f64 = 86_400.0;
    let metrics = &app.metrics;
    let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    for (writer, waiting) in app.writers.waiting().enumerate() {
        let queue = &metrics.writer_queue;
        queue
            .with_label_values(&[writer.to_string()])
            .set(gauge(waiting));
    }
    metrics.notices_parked.set(gauge(app.waiters.asleep()));
    let usage = app.pg.usage();
    metrics.postgres_in_use.set(usage.in_use.into());
    metrics.postgres_max.set(usage.max.into());
    metrics.postgres_waiting.set(gauge(usage.waiting));
    let left = app.partitions_until.load(Ordering::Relaxed) - clock::unix_seconds();
    metrics.partitions_ahead_days.set(left as f64 / DAY);
    metrics
        .redis_available
        .set(i64::from(app.redis.ping().await));
    metrics.text()
}
