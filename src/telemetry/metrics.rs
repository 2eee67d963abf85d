//! The metrics of a node, for Prometheus.
//!
//! There is no global registry: each node has its own, so that one process can run many nodes, as the tests do. A gauge of state
//! that changes by itself (parked waits, Redis answers) is set when Prometheus scrapes (`domain/operations/health.rs`). The others
//! are updated where the event happens, by atomic additions. `docs/OPERATIONS.md` documents each metric, and a test compares.

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

/// Buckets of durations in seconds, up to the longest wait.
const SECONDS: &[f64] = &[
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0,
];

/// Buckets of commands, up to the largest batch of a writer.
const COMMANDS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// The label `route` of requests that match no route. With their paths as labels, clients could fill the memory.
const UNMATCHED: &str = "unmatched";

/// A metric cannot be registered or encoded: its name is a duplicate or not valid.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the metrics: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// All metrics of a node.
pub struct Metrics {
    registry: Registry,
    http_requests: IntCounterVec,
    http_seconds: HistogramVec,
    /// Commands of a committed batch.
    pub writer_batch_commands: Histogram,
    /// The time from the beginning of a batch to its commit.
    pub writer_batch_seconds: Histogram,
    /// Batches that failed. Each was tried again, split or given up.
    pub writer_batch_failures: IntCounter,
    /// Commands in the queue of a writer, by its number.
    pub writer_queue: IntGaugeVec,
    /// The time from a commit until the waits of this node were woken.
    pub commit_to_wake: Histogram,
    /// Committed entries that were not published, because the queue of the publisher was full.
    pub announcements_dropped_queue: IntCounter,
    /// Committed entries that were not published, because Redis did not answer.
    pub announcements_dropped_redis: IntCounter,
    /// Parked waits.
    pub notices_parked: IntGauge,
    /// Waits that the sweep woke.
    pub notices_recovered: IntCounter,
    /// Starts and stops of typing that were published.
    pub typing_published: IntCounter,
    /// People with a device that waits, on any node.
    pub presence_online: IntGauge,
    /// Changes of devices of this node that were published.
    pub presence_published: IntCounter,
    /// Changes of people that waits have answered.
    pub presence_changes: IntCounter,
    /// Answers without presence, because PostgreSQL was busy or did not answer.
    pub presence_shed: IntCounter,
    /// Whether this node takes uploads, if it should.
    pub media_available: IntGauge,
    /// What all users have reserved of the media store.
    pub media_bytes: IntGauge,
    /// Failures of the media store.
    pub media_store_errors: IntCounter,
    /// How long searches take.
    pub search_seconds: Histogram,
    /// Full blocks of 32 messages that the last sweep of this node has found without an index.
    pub search_lag_blocks: IntGauge,
    /// Reads of unread counts that PostgreSQL answered, because Redis could not.
    pub unread_rebuilds: IntCounter,
    /// Users whose counts in Redis the auditor compared with PostgreSQL.
    pub unread_audited: IntCounter,
    /// Audited users whose counts differed.
    pub unread_drift: IntCounter,
    /// Connections to PostgreSQL in use.
    pub postgres_in_use: IntGauge,
    /// The limit of connections to PostgreSQL.
    pub postgres_max: IntGauge,
    /// Requests that wait for a connection.
    pub postgres_waiting: IntGauge,
    /// 1 while Redis answers.
    pub redis_available: IntGauge,
    /// Days from now that the partitions of the inbox cover without a gap.
    pub partitions_ahead_days: Gauge,
}

impl Metrics {
    /// Registers all metrics, at zero.
    pub fn new() -> Result<Self, MetricsError> {
        let new = Registrar(Registry::new());
        new.process()?;
        let build = Opts::new("tideline_build_info", "Always 1; the label is the version");
        let build = new.add(IntGauge::with_opts(
            build.const_label("version", env!("CARGO_PKG_VERSION")),
        )?)?;
        build.set(1);
        let dropped = new.add(IntCounterVec::new(
            Opts::new(
                "tideline_announcements_dropped_total",
                "Inbox entries that were not published to Redis",
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
                "Batches that failed. Each was tried again, split or given up",
            )?,
            writer_queue: new.add(IntGaugeVec::new(
                Opts::new(
                    "tideline_writer_queue_commands",
                    "Commands in the queue of a writer",
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
            notices_parked: new.gauge("tideline_notices_parked", "Parked waits")?,
            notices_recovered: new.counter(
                "tideline_notices_recovered_total",
                "Waits that the sweep woke, because no signal had",
            )?,
            typing_published: new.counter(
                "tideline_typing_published_total",
                "Starts and stops of typing that were published to the nodes",
            )?,
            presence_online: new.gauge(
                "tideline_presence_online",
                "People with a device that waits, on any node",
            )?,
            presence_published: new.counter(
                "tideline_presence_published_total",
                "Changes of devices of this node that were published to the nodes",
            )?,
            presence_changes: new.counter(
                "tideline_presence_changes_total",
                "Changes of people that waits have answered",
            )?,
            presence_shed: new.counter(
                "tideline_presence_shed_total",
                "Answers without presence, because PostgreSQL was busy or did not answer",
            )?,
            search_seconds: new.histogram(
                "tideline_search_duration_seconds",
                "From the request of each search for messages until its results were read",
                SECONDS,
            )?,
            search_lag_blocks: new.gauge(
                "tideline_search_lag_blocks",
                "Blocks of 32 messages without a whole index, as the last whole sweep of this node has found them",
            )?,
            media_available: new.gauge(
                "tideline_media_available",
                "Whether this node takes uploads, if TIDELINE_MEDIA_URL is set",
            )?,
            media_bytes: new.gauge(
                "tideline_media_bytes",
                "Bytes of the media and uploads of all users",
            )?,
            media_store_errors: new.counter(
                "tideline_media_store_errors_total",
                "Failures of the media store, of the scanner and of decoders",
            )?,
            unread_rebuilds: new.counter(
                "tideline_unread_rebuilds_total",
                "Reads of unread counts that PostgreSQL answered, because Redis could not",
            )?,
            unread_audited: new.counter(
                "tideline_unread_audited_total",
                "Users whose unread counts in Redis were compared with PostgreSQL",
            )?,
            unread_drift: new.counter(
                "tideline_unread_drift_total",
                "Audited users whose unread counts in Redis were wrong",
            )?,
            postgres_in_use: new.gauge(
                "tideline_postgres_connections_in_use",
                "Connections to PostgreSQL in use, including those of the writers",
            )?,
            postgres_max: new.gauge(
                "tideline_postgres_connections_max",
                "The limit of connections to PostgreSQL",
            )?,
            postgres_waiting: new.gauge(
                "tideline_postgres_waiting_requests",
                "Requests that wait for a connection to PostgreSQL",
            )?,
            redis_available: new.gauge(
                "tideline_redis_available",
                "1 if Redis answered just now, otherwise 0",
            )?,
            partitions_ahead_days: new.add(Gauge::new(
                "tideline_inbox_partitions_ahead_days",
                "Days from now that the partitions of the inbox cover without a gap",
            )?)?,
            registry: new.0,
        })
    }

    /// The metrics of a route, for one thread.
    pub fn route(self: &Arc<Self>, pattern: &str) -> Rc<Route> {
        Rc::new(Route {
            pattern: pattern.to_owned(),
            metrics: Arc::clone(self),
            requests: RefCell::default(),
            seconds: OnceCell::new(),
        })
    }

    /// The metrics of requests that match no route, for one thread.
    pub fn unmatched(self: &Arc<Self>) -> Rc<Route> {
        self.route(UNMATCHED)
    }

    /// All metrics in the text format of Prometheus.
    pub fn text(&self) -> Result<String, MetricsError> {
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }
}

/// The metrics of a route, for one thread. The thread caches the series, so that a request takes no lock and allocates no label.
pub struct Route {
    pattern: String,
    metrics: Arc<Metrics>,
    requests: RefCell<HashMap<(&'static str, u16), IntCounter>>,
    seconds: OnceCell<Histogram>,
}

impl Route {
    /// Counts a response and its duration.
    pub fn answered(&self, method: &str, status: u16, took: Duration) {
        // A client can send any method: the label has few values.
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

/// Creates metrics and registers them.
struct Registrar(Registry);

impl Registrar {
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

    /// Memory, processor time and open files of the process.
    #[cfg(target_os = "linux")]
    fn process(&self) -> Result<(), MetricsError> {
        let process = prometheus::process_collector::ProcessCollector::for_self();
        Ok(self.0.register(Box::new(process))?)
    }

    /// The collector reads `/proc`, which only Linux has.
    #[cfg(not(target_os = "linux"))]
    fn process(&self) -> Result<(), MetricsError> {
        Ok(())
    }
}
