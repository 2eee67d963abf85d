//! Starts and stops a node.
//!
//! Stopping is polite: on SIGTERM readiness fails, parked waits are asked to reconnect over a short ramp and new ones at
//! once, sends and fetches go on until the ramp ends, then everything is taken down in order.

use crate::clock;
use crate::config::Config;
use crate::domain::operations::partitions;
use crate::engine::batching::reply::install_thread_notifier;
use crate::engine::error::Error;
use crate::engine::handles::{App, OpenError};
use crate::http::kit::middleware;
use crate::http::operations::metrics;
use crate::http::routes;
use crate::http::transport::body_budget::Budget;
use crate::http::transport::connection::{DISCONNECT, Io, REQUEST_HEAD};
use crate::http::transport::parking::{Public, serve};
use crate::tasks;
use actix_http::HttpService;
use actix_service::map_config;
use actix_web::dev::{AppConfig, Server, ServerHandle, ServiceFactory, fn_factory, fn_service};
use actix_web::http::KeepAlive;
use actix_web::middleware::from_fn;
use actix_web::{HttpServer, web};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

/// Longer than the idle time of common proxies, so that it is never us who closes a connection they are about to use.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long a client may leave what was sent to it unread before the kernel gives the connection up.
#[cfg(target_os = "linux")]
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(20);

/// How much of an answer the kernel may hold that is not on its way yet: what is beyond stays with us, and is counted.
#[cfg(target_os = "linux")]
const NOTSENT_LOWAT: u32 = 128 * 1024;

/// How many connections the kernel keeps until we accept them, if its own limit (`net.core.somaxconn`) allows; 128 is usual.
const LISTEN_BACKLOG: i32 = 4_096;

/// How often a ramp asks some of the parked waits to reconnect, and a stopping node looks whether its threads have gone.
const STEP: Duration = Duration::from_millis(50);

/// What a process that ends needs of the drain time after its node has stopped: the last lines of its log, and what libpq is
/// setting up.
pub const LEAVING: Duration = Duration::from_millis(500);

/// For so many steps a stopping node waits until its threads have let go of its handles.
const SHUTDOWN_POLLS: u32 = 40;

/// Why a node did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address of this variable is taken, or not ours.
    #[error("cannot listen on {0}, {1}: {2}")]
    Bind(&'static str, SocketAddr, std::io::Error),
    /// A listener, a thread, a signal.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// PostgreSQL, the settings or the database do not let it start.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Something hangs: most likely PostgreSQL.
    #[error(
        "the drain time has passed and not everything has ended: what PostgreSQL has not answered may or may not be stored"
    )]
    Unfinished,
    /// The inbox has no room for new entries.
    #[error("cannot make the inbox's partitions: {0:?}")]
    Partitions(Error),
}

/// A server and the task that it runs in.
struct Serving {
    handle: ServerHandle,
    task: JoinHandle<std::io::Result<()>>,
}

impl Serving {
    fn spawn(server: Server) -> Self {
        Self {
            handle: server.handle(),
            task: tokio::spawn(server),
        }
    }

    /// Closes the listener, and returns when the requests under way have ended, or their time has.
    async fn stop(self) -> std::io::Result<()> {
        self.handle.stop(true).await;
        self.task.await.map_err(std::io::Error::other)?
    }
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
    /// What large bodies take of the memory.
    pub budget: web::Data<Budget>,
    /// Where it tells its metrics.
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
        let workers = config.workers;
        let drain = ramp_time(config.drain);
        let app = web::Data::new(App::open(config).await?);
        partitions::make_first(&app)
            .await
            .map_err(ServeError::Partitions)?;
        let for_workers = app.clone();
        let budget = web::Data::new(Budget::default());
        let for_answers = budget.clone();
        let connections = app.connections;
        let server = Server::build();
        let signal = server.graceful_shutdown_signal();
        let server = server
            .workers(workers)
            // What bounds them is the limit of open files; without one left, the next one waits to be accepted.
            .max_concurrent_connections(connections / workers)
            .shutdown_timeout(drain.as_secs().max(1))
            .disable_signals()
            .listen("public", listener, move || {
                let handles = for_workers.clone();
                let for_refusals = for_workers.clone();
                let app = actix_web::App::new()
                    .app_data(for_workers.clone())
                    .app_data(for_answers.clone())
                    .wrap(from_fn(middleware::layer))
                    .configure(move |config| {
                        let hosts = &handles.config.trusted_media_hosts;
                        routes::configure(config, &handles.metrics, hosts);
                    });
                let signal = signal.clone();
                let stopping = move || {
                    let signal = signal.clone();
                    async move { signal.notified().await }
                };
                let http = HttpService::build()
                    .graceful_shutdown_signal(stopping.clone())
                    .keep_alive(KEEP_ALIVE)
                    .client_request_timeout(REQUEST_HEAD)
                    .client_disconnect_timeout(DISCONNECT)
                    // With the default, the handlers of clients that went away stay parked for ever.
                    .h1_allow_half_closed(false)
                    .local_addr(address)
                    .on_connect_ext(|io: &Io, data| drop(data.insert(io.connection())))
                    .h1(map_config(app, |()| AppConfig::default()));
                fn_factory(move || {
                    let http = http.new_service(());
                    let stopping = stopping.clone();
                    let app = for_refusals.clone();
                    async move {
                        install_thread_notifier();
                        let public = Rc::new(Public {
                            http: http.await?,
                            unmatched: app.metrics.unmatched(),
                            app,
                            idle: KEEP_ALIVE,
                        });
                        Ok::<_, ()>(fn_service(move |stream: TcpStream| {
                            guard(&stream);
                            serve(Rc::clone(&public), stream, stopping.clone())
                        }))
                    }
                })
            })?
            .run();
        let metrics_address = for_metrics.as_ref().map(|(_, address)| *address);
        let metrics = for_metrics
            .map(|(listener, _)| serve_metrics(&app, listener))
            .transpose()?;
        let tasks = vec![
            task!(app, sweep),
            task!(app, partitions),
            task!(app, notices),
            task!(app, revocations),
            task!(app, auditor),
        ];
        Ok(Self {
            tasks,
            app,
            address,
            budget,
            metrics_address,
            public: Serving::spawn(server),
            metrics: metrics.map(Serving::spawn),
        })
    }

    /// Stops politely, and returns when everything is down, or when the drain time is over: then the process has to end,
    /// and what still waits for PostgreSQL with it.
    pub async fn stop(self) -> Result<(), ServeError> {
        let time = self.app.config.drain.saturating_sub(LEAVING);
        tokio::time::timeout(time, self.take_down())
            .await
            .unwrap_or(Err(ServeError::Unfinished))
    }

    async fn take_down(self) -> Result<(), ServeError> {
        log::info!("draining {} waits", self.app.waiters.count());
        self.app.draining.store(true, Ordering::Release);
        self.app.diagnostics.end();
        ramp(&self.app, ramp_time(self.app.config.drain)).await;
        self.public.stop().await?;
        for task in self.tasks {
            task.abort();
            // Cancelled, as asked.
            let _cancelled = task.await;
        }
        // Tasks that are cancelled, and requests that are, leave their queries behind.
        self.app.pg.idle().await;
        // Of the listeners the last: the metrics tell how the rest went.
        if let Some(metrics) = self.metrics
            && let Err(error) = metrics.stop().await
        {
            // The writers still have to be taken down.
            log::warn!("metrics: {error}");
        }
        // Every request has ended, and the threads of the listeners let go of their handles a moment later. Then ours is the
        // last one, unless a test holds one.
        let mut app = self.app.into_inner();
        for _ in 0..SHUTDOWN_POLLS {
            match Arc::try_unwrap(app) {
                Ok(last) => {
                    last.writers.stop().await;
                    break;
                }
                Err(held) => app = held,
            }
            tokio::time::sleep(STEP).await;
        }
        log::info!("stopped");
        Ok(())
    }
}

/// Guards a connection against a client that does not read, or is not there any more: actix has no time-out for writing.
#[cfg(target_os = "linux")]
fn guard(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    let guarded = socket
        .set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))
        .and_then(|()| socket.set_tcp_notsent_lowat(NOTSENT_LOWAT));
    if let Err(error) = guarded {
        log::warn!("a connection without time-outs: {error}");
    }
}

/// Elsewhere the kernel's own patience has to do.
#[cfg(not(target_os = "linux"))]
fn guard(_: &TcpStream) {}

/// Listens on the address of a variable.
fn listen(
    variable: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), ServeError> {
    let listener =
        TcpListener::bind(address).map_err(|error| ServeError::Bind(variable, address, error))?;
    // Once more, now with room for the crowd of a node that was lost. Whoever finds none is told nothing, and knocks again
    // after a second, three and seven.
    socket2::SockRef::from(&listener).listen(LISTEN_BACKLOG)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// The server of the metrics. One thread is plenty for somebody who asks every few seconds, and without keep-alive nobody
/// holds up the end.
fn serve_metrics(app: &web::Data<App>, listener: TcpListener) -> std::io::Result<Server> {
    let app = app.clone();
    Ok(HttpServer::new(move || {
        actix_web::App::new()
            .app_data(app.clone())
            .configure(metrics::configure)
    })
    .workers(1)
    .keep_alive(KeepAlive::Disabled)
    .client_request_timeout(REQUEST_HEAD)
    .shutdown_timeout(1)
    .disable_signals()
    .listen(listener)?
    .run())
}

/// Half of the drain time is for the ramp of waits, the rest for the requests that are under way.
fn ramp_time(drain: Duration) -> Duration {
    drain.saturating_sub(LEAVING) / 2
}

/// Asks all parked waits to reconnect, evenly over the ramp, in no particular order. Without waits it lasts as long: balancers
/// take the node out by its readiness, and until they have it serves.
async fn ramp(app: &App, ramp: Duration) {
    let end = Instant::now() + ramp;
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
    tokio::time::sleep_until(end.into()).await;
    // Waits that had looked for the drain just before it began, and parked just after the list was taken.
    for (user, _) in app.waiters.positions() {
        app.waiters.reconnect(user);
    }
}

/// SIGTERM and Ctrl-C, noticed from the moment that this is made: before a node answers anybody, or whoever has just had
/// an answer could kill it where it should drain.
pub struct StopSignal {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignal {
    /// Begins to notice.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Returns when the process is, or was, asked to stop.
    pub async fn received(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
