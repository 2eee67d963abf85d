//! Starts and stops a node.
//!
//! Stopping is polite: on SIGTERM readiness fails, parked waits are asked to reconnect over a short ramp and new ones at
//! once, sends and fetches go on until the ramp ends, then everything is taken down in order.

use crate::app::{App, OpenError};
use crate::clock;
use crate::config::Config;
use crate::domain::error::Error;
use crate::http::{layer, routes};
use crate::tasks;
use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{HttpServer, web};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

/// Longer than the idle time of common proxies, so that it is never us who closes a connection they are about to use.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long the head of a request may take to arrive.
const REQUEST_HEAD: Duration = Duration::from_secs(10);

/// Connections of one worker.
const CONNECTIONS: usize = 100_000;

/// How often a ramp asks some of the parked waits to reconnect.
const STEP: Duration = Duration::from_millis(50);

/// Why a node did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken, or not ours.
    #[error("cannot listen on TIDELINE_BIND, {0}: {1}")]
    Bind(SocketAddr, std::io::Error),
    /// A listener, a thread, a signal.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// PostgreSQL, the settings or the database do not let it start.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The inbox has no room for new entries.
    #[error("cannot make the inbox's partitions: {0:?}")]
    Partitions(Error),
}

/// Starts the loop of a module of `tasks`.
macro_rules! task {
    ($app:ident, $task:ident) => {{
        let app = $app.clone();
        tokio::spawn(async move { tasks::$task::run(&app).await })
    }};
}

/// A running node.
pub struct Node {
    /// Its handles.
    pub app: web::Data<App>,
    /// Where it listens.
    pub address: SocketAddr,
    handle: ServerHandle,
    serving: JoinHandle<std::io::Result<()>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Node {
    /// Starts a node on the Tokio runtime that this is called on. When this returns it is ready.
    pub async fn start(config: Config) -> Result<Self, ServeError> {
        let listener =
            TcpListener::bind(config.bind).map_err(|error| ServeError::Bind(config.bind, error))?;
        let address = listener.local_addr()?;
        let workers = config.workers;
        // Half of the drain time is for the ramp of waits, the rest for the requests that are under way.
        let drain = config.drain / 2;
        let app = web::Data::new(App::open(config).await?);
        tasks::partitions::make(&app)
            .await
            .map_err(ServeError::Partitions)?;
        let for_workers = app.clone();
        let server = HttpServer::new(move || {
            actix_web::App::new()
                .app_data(for_workers.clone())
                .wrap(from_fn(layer::layer))
                .configure(routes::configure)
        })
        .workers(workers)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(REQUEST_HEAD)
        // Parked waits are cheap; what bounds them is the limit of open files.
        .max_connections(CONNECTIONS)
        // With the default, the handlers of clients that went away stay parked for ever.
        .h1_allow_half_closed(false)
        .shutdown_timeout(drain.as_secs().max(1))
        .disable_signals()
        .listen(listener)?
        .run();
        let handle = server.handle();
        let tasks = vec![
            task!(app, sweep),
            task!(app, partitions),
            task!(app, notices),
            task!(app, revocations),
        ];
        Ok(Self {
            tasks,
            app,
            address,
            handle,
            serving: tokio::spawn(server),
        })
    }

    /// Stops politely within the drain time, and returns when everything is down.
    pub async fn stop(self) -> Result<(), ServeError> {
        log::info!("draining {} waits", self.app.waiters.count());
        self.app.draining.store(true, Ordering::Release);
        ramp(&self.app, self.app.config.drain / 2).await;
        self.handle.stop(true).await;
        self.serving.await.map_err(std::io::Error::other)??;
        for task in self.tasks {
            task.abort();
            // Cancelled, as asked.
            let _cancelled = task.await;
        }
        // Every request has ended, so ours is the last handle, unless a test holds one.
        if let Ok(app) = Arc::try_unwrap(self.app.into_inner()) {
            app.writers.stop().await;
        }
        log::info!("stopped");
        Ok(())
    }
}

/// Asks all parked waits to reconnect, evenly over the ramp, in no particular order.
async fn ramp(app: &App, ramp: Duration) {
    let mut users: Vec<_> = app
        .waiters
        .positions()
        .into_iter()
        .map(|(user, _)| (clock::jitter(), user))
        .collect();
    users.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let steps = usize::try_from(ramp.as_millis() / STEP.as_millis())
        .unwrap_or(1)
        .max(1);
    for chunk in users.chunks(users.len().div_ceil(steps).max(1)) {
        for (_, user) in chunk {
            app.waiters.reconnect(*user);
        }
        tokio::time::sleep(STEP).await;
    }
    // Waits that had looked for the drain just before it began, and parked just after the list was taken.
    for (user, _) in app.waiters.positions() {
        app.waiters.reconnect(user);
    }
}

/// Returns when the process is asked to stop: SIGTERM or Ctrl-C.
pub async fn stop_signal() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
