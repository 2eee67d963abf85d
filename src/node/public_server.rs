//! The server of the API and the pages.

use crate::engine::batching::reply::install_thread_notifier;
use crate::http::kit::middleware;
use crate::http::routes;
use crate::http::transport::body_budget::Budget;
use crate::http::transport::connection::{DISCONNECT, Io, REQUEST_HEAD};
use crate::http::transport::parking::{Public, serve as serve_connection};
use crate::node::drain::ramp_time;
use crate::node::handles::Handles;
use crate::node::listen::guard;
use actix_http::HttpService;
use actix_service::map_config;
use actix_web::dev::{AppConfig, Server, ServiceFactory, fn_factory, fn_service};
use actix_web::middleware::from_fn;
use actix_web::web;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Longer than the idle timeout of common proxies, so that the node does not close a connection that a proxy is about to
/// use.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Builds the server.
pub(super) fn serve(
    handles: &Handles,
    budget: &web::Data<Budget>,
    listener: TcpListener,
    address: SocketAddr,
) -> std::io::Result<Server> {
    let (handles, budget) = (handles.clone(), budget.clone());
    let workers = handles.config.workers;
    let drain = ramp_time(handles.config.drain);
    let server = Server::build();
    let signal = server.graceful_shutdown_signal();
    let server = server
        .workers(workers)
        // The limit of open files bounds them. At the limit, the next connection waits in the backlog.
        .max_concurrent_connections(handles.connections / workers)
        .shutdown_timeout(drain.as_secs().max(1))
        .disable_signals()
        .listen("public", listener, move || {
            let metrics = Arc::clone(&handles.delivery.metrics);
            let config = Arc::clone(&handles.config);
            let app = actix_web::App::new()
                .app_data(web::Data::from(Arc::clone(&handles.config)))
                .app_data(web::Data::from(Arc::clone(&handles.auth)))
                .app_data(web::Data::from(Arc::clone(&handles.delivery)))
                .app_data(web::Data::from(Arc::clone(&handles.admission)))
                .app_data(web::Data::from(Arc::clone(&handles.lifecycle)))
                .app_data(budget.clone())
                .wrap(from_fn(middleware::layer))
                .configure(move |routes| {
                    routes::configure(routes, &metrics, &config.trusted_media_hosts);
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
                // By default, the handler of a disconnected client would never end.
                .h1_allow_half_closed(false)
                .local_addr(address)
                .on_connect_ext(|io: &Io, data| drop(data.insert(io.connection())))
                .h1(map_config(app, |()| AppConfig::default()));
            let (metrics, config) = (
                Arc::clone(&handles.delivery.metrics),
                Arc::clone(&handles.config),
            );
            fn_factory(move || {
                let http = http.new_service(());
                let stopping = stopping.clone();
                let (metrics, config) = (Arc::clone(&metrics), Arc::clone(&config));
                async move {
                    install_thread_notifier();
                    let public = Rc::new(Public {
                        http: http.await?,
                        unmatched: metrics.unmatched(),
                        config,
                        idle: KEEP_ALIVE,
                    });
                    Ok::<_, ()>(fn_service(move |stream: TcpStream| {
                        guard(&stream);
                        serve_connection(Rc::clone(&public), stream, stopping.clone())
                    }))
                }
            })
        })?
        .run();
    Ok(server)
}
