//! Starts and stops a node.
//!
//! On SIGTERM a node drains: readiness fails, parked waits are asked to reconnect over a ramp and new ones at once, sends and
//! fetches go on until the ramp ends, then the parts end in order.

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

/// Starts the loop of a module of `tasks`, with the handles that it uses.
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
    /// Where it listens.
    pub address: SocketAddr,
    /// The memory for large bodies.
    pub budget: web::Data<Budget>,
    /// Where it serves its metrics.
    pub metrics_address: Option<SocketAddr>,
    public: Serving,
    metrics: Option<Serving>,
    tasks: Vec<JoinHandle<()>>,
}

impl Node {
    /// Starts a node on the Tokio runtime that this is called on. When this returns it is ready.
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
            task!(notices, delivery),
            task!(revocations, auth),
            task!(auditor, delivery),
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

    /// Drains, and returns when everything has ended or the drain time is over: then the process has to end, with all that
    /// still waits for PostgreSQL.
    pub async fn stop(self) -> Result<(), ServeError> {
        let time = self.handles.config.drain.saturating_sub(LEAVING);
        tokio::time::timeout(time, self.take_down())
            .await
            .unwrap_or(Err(ServeError::Unfinished))
    }

    async fn take_down(self) -> Result<(), ServeError> {
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
            // Cancelled, as asked.
            let _cancelled = task.await;
        }
        // Cancelled tasks and requests leave their queries behind.
        delivery.pg.idle().await;
        // The listener of the metrics ends last: until here it reports the drain.
        if let Some(metrics) = self.metrics
            && let Err(error) = metrics.stop().await
        {
            // The writers still have to end.
            log::warn!("metrics: {error}");
        }
        // Every request has ended, and the threads of the listeners drop their handles a moment later. Then this is the last
        // one, unless a test holds one.
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
