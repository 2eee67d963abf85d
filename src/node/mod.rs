//! Starts and stops a node.
//!
//! On SIGTERM a node drains. Readiness fails. Waits are asked to reconnect: sleeping ones over a ramp, new ones immediately.
//! Sends and fetches continue until the ramp ends. Then the parts of the node stop in order.

mod drain;
mod error;
pub mod handles;
mod listen;
mod public_server;
mod stop_signal;

pub use drain::LEAVING;
pub use error::ServeError;
pub use stop_signal::StopSignal;

use crate::config::Config;
use crate::domain::operations::health::readiness;
use crate::domain::operations::partitions;
use crate::http::transport::body_budget::Budget;
use crate::node::drain::{ramp, ramp_time};
use crate::node::handles::Handles;
use crate::node::listen::{Serving, listen, serve_metrics};
use crate::tasks;
use actix_web::web;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often a stopping node checks whether its threads have dropped their handles, and how many times.
const SHUTDOWN_POLL: Duration = Duration::from_millis(50);
const SHUTDOWN_POLLS: u32 = 40;

/// How long a start waits until the node is ready, and how often it looks. Redis may be away.
const READY_WITHIN: Duration = Duration::from_secs(10);
const READY_POLL: Duration = Duration::from_millis(50);

/// Spawns the `run` of a module of `tasks`, with the handles that it uses.
macro_rules! task {
    ($task:ident, $($handle:expr),+) => {{
        let handles = ($(Arc::clone(&$handle),)+);
        tokio::spawn(async move { task!(@run $task, handles, $($handle),+) })
    }};
    (@run $task:ident, $handles:ident, $one:expr) => { tasks::$task::run(&$handles.0).await };
    (@run $task:ident, $handles:ident, $one:expr, $two:expr) => {
        tasks::$task::run(&$handles.0, &$handles.1).await
    };
}

/// A running node.
pub struct Node {
    /// Its handles.
    pub handles: Handles,
    /// The address of the API.
    pub address: SocketAddr,
    /// The memory budget for large bodies.
    pub budget: web::Data<Budget>,
    /// The address of the metrics.
    pub metrics_address: Option<SocketAddr>,
    public: Serving,
    metrics: Option<Serving>,
    tasks: Vec<JoinHandle<()>>,
}

impl Node {
    /// Starts a node on the current Tokio runtime. The returned node is ready.
    pub async fn start(config: Config) -> Result<Self, ServeError> {
        let (listener, address) = listen("TIDELINE_BIND", config.bind)?;
        let for_metrics = config
            .metrics_bind
            .map(|address| listen("TIDELINE_METRICS_BIND", address))
            .transpose()?;
        let handles = Handles::open(config).await?;
        let Handles {
            auth,
            delivery,
            lifecycle,
            ..
        } = &handles;
        partitions::make_first(delivery, lifecycle)
            .await
            .map_err(ServeError::Partitions)?;
        let budget = web::Data::new(Budget::default());
        let public = public_server::serve(&handles, &budget, listener, address)?;
        let metrics_address = for_metrics.as_ref().map(|(_, address)| *address);
        let metrics = for_metrics
            .map(|(listener, _)| serve_metrics(&handles, listener))
            .transpose()?;
        let tasks = vec![
            task!(sweep, delivery),
            task!(partitions, delivery, lifecycle),
            task!(presence, delivery, auth),
            task!(notices, delivery),
            task!(revocations, auth),
            task!(auditor, delivery),
            task!(account_erasures, delivery),
            task!(erasures, delivery),
            task!(delivered, delivery),
            task!(expiry, delivery),
            task!(media, delivery),
            task!(read_moves, delivery),
            task!(scheduled, delivery),
            task!(search, delivery),
            task!(typing, delivery),
        ];
        Ok(Self {
            tasks,
            handles,
            address,
            budget,
            metrics_address,
            public: Serving::spawn(public),
            metrics: metrics.map(Serving::spawn),
        })
    }

    /// Returns when the node should receive requests, or after ten seconds.
    pub async fn until_ready(&self) {
        let Handles {
            delivery,
            lifecycle,
            ..
        } = &self.handles;
        let ready = async {
            while !readiness(delivery, lifecycle).await.reasons.is_empty() {
                tokio::time::sleep(READY_POLL).await;
            }
        };
        let _late = tokio::time::timeout(READY_WITHIN, ready).await;
    }

    /// Drains. Returns an error if not everything has ended within the drain time: then the process has to exit, even if
    /// threads still wait for PostgreSQL.
    pub async fn stop(self) -> Result<(), ServeError> {
        let time = self.handles.config.drain.saturating_sub(LEAVING);
        tokio::time::timeout(time, self.shut_down())
            .await
            .unwrap_or(Err(ServeError::Unfinished))
    }

    async fn shut_down(self) -> Result<(), ServeError> {
        let Handles {
            config,
            delivery,
            lifecycle,
            ..
        } = self.handles;
        log::info!("draining {} waits", delivery.waiters.count());
        lifecycle.drain();
        ramp(&delivery.waiters, ramp_time(config.drain)).await;
        self.public.stop().await?;
        for task in self.tasks {
            task.abort();
            // The result is the cancellation.
            let _cancelled = task.await;
        }
        // The queries of cancelled tasks and requests still run.
        delivery.pg.idle().await;
        // The server of the metrics stops last, so that it reports the drain.
        if let Some(metrics) = self.metrics
            && let Err(error) = metrics.stop().await
        {
            // Only logged, because the writers still have to stop.
            log::warn!("metrics: {error}");
        }
        // Every request has ended, and the HTTP threads drop their handles shortly after. Then this handle is the last one,
        // unless a test has one.
        let mut shared = delivery;
        for _ in 0..SHUTDOWN_POLLS {
            match Arc::try_unwrap(shared) {
                Ok(last) => {
                    last.writers.stop().await;
                    break;
                }
                Err(held) => shared = held,
            }
            tokio::time::sleep(SHUTDOWN_POLL).await;
        }
        log::info!("stopped");
        Ok(())
    }
}
