//! What a process counts and measures, for Prometheus.
//!
//! There is no global registry: every node has its own, so that many of them can live in one process, as in the tests.
//! What changes by itself (how many wait, whether Redis answers) is looked at when somebody asks (`domain/operations/health.rs`); the
//! rest is a few atomic additions where it happens. `docs/OPERATIONS.md` says what each metric means and when to worry;
//! a test keeps it complete. The lines of the log are `telemetry/lines.rs`.

pub mod lines;

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// From the fastest answer to the longest wait.
const SECONDS: &[f64] = &[
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0,
];

/// Up to the largest batch of a writer.
const COMMANDS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// The label of requests that no route takes: a label of their own paths would let anybody fill our memory.
const UNMATCHED: &str = "unmatched";

/// A metric could not be made or told: its name is taken, or breaks the rules of Prometheus.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the metrics: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// All metrics of a process.
pub struct Metrics {
    registry: Registry,
    http_requests: IntCounterVec,
    http_seconds: HistogramVec,
    /// Commands of each committed batch.
    pub writer_batch_commands: Histogram,
    /// How long each committed batch took, from its beginning to its commit.
    pub writer_batch_seconds: Histogram,
    /// Batches that failed, and were tried again, split or given up.
    pub writer_batch_failures: IntCounter,
    /// Commands that wait for each writer, by its number.
    pub writer_queue: IntGaugeVec,
    /// From the commit of each batch until the waits of this node were woken.
    pub commit_to_wake: Histogram,
    /// Entries that Redis was not told of because too many waited.
    pub announcements_dropped_queue: IntCounter,
    /// Entries that Redis was not told of because it did not answer.
    pub announcements_dropped_redis: IntCounter,
    /// Waits that sleep.
    pub notices_parked: IntGauge,
    /// Waits that the sweep has woken.
    pub notices_recovered: IntCounter,
    /// Reads of unread counts that Redis could not answer.
    pub unread_rebuilds: IntCounter,
    /// Users whose counts in Redis were compared with PostgreSQL.
    pub unread_audited: IntCounter,
    /// Those of them that differed.
    pub unread_drift: IntCounter,
    /// Connections that are in use.
    pub postgres_in_use: IntGauge,
    /// The most there may be.
    pub postgres_max: IntGauge,
    /// Requests that wait at the gate.
    pub postgres_waiting: IntGauge,
    /// 1 while Redis answers.
    pub redis_available: IntGauge,
    /// For so long the inbox has partitions.
    pub partitions_ahead_days: Gauge,
}

impl Metrics {
    /// All of them, at zero.
    pub fn new() -> Result<Self, MetricsError> {
        let new = New(Registry::new());
        new.process()?;
        let build = Opts::new("tideline_build_info", "Always 1; the label is what counts");
        let build = new.add(IntGauge::with_opts(
            build.const_label("version", env!("CARGO_PKG_VERSION")),
        )?)?;
        build.set(1);
        let dropped = new.add(IntCounterVec::new(
            Opts::new(
                "tideline_announcements_dropped_total",
                "Inbox entries that Redis was not told of",
            ),
            &["reason"],
        )?)?;
        Ok(Self {
            http_requests: new.add(IntCounterVec::new(
                Opts::new("tideline_http_requests_total", "Answered requests"),
                &["route", "method", "status"],
            )?)?,
            http_seconds: new.add(HistogramVec::new(
                HistogramOpts::new(
                    "tideline_http_request_duration_seconds",
                    "From the head of a request to its answer",
                )
                .buckets(SECONDS.to_vec()),
                &["route"],
            )?)?,
            writer_batch_commands: new.histogram(
                "tideline_writer_batch_commands",
                "Commands of each committed batch",
                COMMANDS,
            )?,
            writer_batch_seconds: new.histogram(
                "tideline_writer_batch_duration_seconds",
                "From the beginning of each committed batch to its commit",
                SECONDS,
            )?,
            writer_batch_failures: new.counter(
                "tideline_writer_batch_failures_total",
                "Batches that failed, and were tried again, split or given up",
            )?,
            writer_queue: new.add(IntGaugeVec::new(
                Opts::new(
                    "tideline_writer_queue_commands",
                    "Commands that wait for a writer",
                ),
                &["writer"],
            )?)?,
            commit_to_wake: new.histogram(
                "tideline_commit_to_wake_seconds",
                "From the commit of each batch until the waits of this node were woken",
                SECONDS,
            )?,
            announcements_dropped_queue: dropped.with_label_values(&["queue_full"]),
            announcements_dropped_redis: dropped.with_label_values(&["redis_unavailable"]),
            notices_parked: new.gauge("tideline_notices_parked", "Waits that sleep")?,
            notices_recovered: new.counter(
                "tideline_notices_recovered_total",
                "Waits that the sweep has woken, since no notice had",
            )?,
            unread_rebuilds: new.counter(
                "tideline_unread_rebuilds_total",
                "Reads of unread counts that Redis could not answer, so that PostgreSQL counted",
            )?,
            unread_audited: new.counter(
                "tideline_unread_audited_total",
                "Users whose unread counts in Redis were compared with PostgreSQL",
            )?,
            unread_drift: new.counter(
                "tideline_unread_drift_total",
                "Users whose unread counts in Redis were wrong",
            )?,
            postgres_in_use: new.gauge(
                "tideline_postgres_connections_in_use",
                "Connections to PostgreSQL that are in use, the writers' included",
            )?,
            postgres_max: new.gauge(
                "tideline_postgres_connections_max",
                "The most connections to PostgreSQL there may be",
            )?,
            postgres_waiting: new.gauge(
                "tideline_postgres_waiting_requests",
                "Requests that wait for one of these connections",
            )?,
            redis_available: new.gauge(
                "tideline_redis_available",
                "1 when Redis has answered just now, 0 when not",
            )?,
            partitions_ahead_days: new.add(Gauge::new(
                "tideline_inbox_partitions_ahead_days",
                "For how long from now there are inbox partitions without a gap",
            )?)?,
            registry: new.0,
        })
    }

    /// The handles of a route, for one thread.
    pub fn route(self: &Arc<Self>, pattern: &str) -> Rc<Route> {
        Rc::new(Route {
            pattern: pattern.to_owned(),
            metrics: Arc::clone(self),
            requests: RefCell::default(),
            seconds: OnceCell::new(),
        })
    }

    /// The handles of what no route takes, for one thread.
    pub fn unmatched(self: &Arc<Self>) -> Rc<Route> {
        self.route(UNMATCHED)
    }

    /// All of them in the text format of Prometheus.
    pub fn text(&self) -> Result<String, MetricsError> {
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }
}

/// The metrics of a route. Each thread looks up its own handles once, so that a request takes no lock and makes no string.
pub struct Route {
    pattern: String,
    metrics: Arc<Metrics>,
    requests: RefCell<HashMap<(&'static str, u16), IntCounter>>,
    seconds: OnceCell<Histogram>,
}

impl Route {
    /// Notes an answer.
    pub fn answered(&self, method: &str, status: u16, took: Duration) {
        // Anybody may invent methods.
        let method = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]
            .into_iter()
            .find(|known| *known == method)
            .unwrap_or("other");
        let mut requests = self.requests.borrow_mut();
        let requests = requests.entry((method, status)).or_insert_with(|| {
            let labels = [&self.pattern, method, &status.to_string()];
            self.metrics.http_requests.with_label_values(&labels)
        });
        requests.inc();
        let seconds = self.seconds.get_or_init(|| {
            let labels = [&self.pattern];
            self.metrics.http_seconds.with_label_values(&labels)
        });
        seconds.observe(took.as_secs_f64());
    }
}

/// Makes metrics and registers them.
struct New(Registry);

impl New {
    fn add<M: Collector + Clone + 'static>(&self, metric: M) -> Result<M, MetricsError> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, MetricsError> {
        self.add(IntCounter::new(name, help)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, MetricsError> {
        self.add(IntGauge::new(name, help)?)
    }

    fn histogram(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> Result<Histogram, MetricsError> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.add(Histogram::with_opts(options)?)
    }

    /// Memory, processor time, open files: Linux tells.
    #[cfg(target_os = "linux")]
    fn process(&self) -> Result<(), MetricsError> {
        let process = prometheus::process_collector::ProcessCollector::for_self();
        Ok(self.0.register(Box::new(process))?)
    }

    /// Elsewhere nothing is known of the process.
    #[cfg(not(target_os = "linux"))]
    fn process(&self) -> Result<(), MetricsError> {
        Ok(())
    }
}
