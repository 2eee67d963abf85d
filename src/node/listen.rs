//! The listeners of a node, and the server of the metrics.

use crate::http::operations::metrics;
use crate::http::transport::connection::REQUEST_HEAD;
use crate::node::error::ServeError;
use crate::node::handles::Handles;
use actix_web::dev::{Server, ServerHandle};
use actix_web::http::KeepAlive;
use actix_web::{HttpServer, web};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
#[cfg(target_os = "linux")]
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// How long sent bytes may stay unacknowledged before the kernel closes the connection.
#[cfg(target_os = "linux")]
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(20);

/// How many unsent bytes of a response the kernel may hold. The rest stays in the process, where the body budget counts it.
#[cfg(target_os = "linux")]
const NOTSENT_LOWAT: u32 = 128 * 1024;

/// How many connections the kernel queues until they are accepted, unless its limit (`net.core.somaxconn`) is lower. The
/// usual backlog is 128.
const LISTEN_BACKLOG: i32 = 4_096;

/// A server and the task that it runs in.
pub(super) struct Serving {
    handle: ServerHandle,
    task: JoinHandle<std::io::Result<()>>,
}

impl Serving {
    pub(super) fn spawn(server: Server) -> Self {
        Self {
            handle: server.handle(),
            task: tokio::spawn(server),
        }
    }

    /// Closes the listener, and returns when the requests have ended or the shutdown time-out has passed.
    pub(super) async fn stop(self) -> std::io::Result<()> {
        self.handle.stop(true).await;
        self.task.await.map_err(std::io::Error::other)?
    }
}

/// Limits how long a client may leave a response unread: actix has no write timeout.
#[cfg(target_os = "linux")]
pub(super) fn guard(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    let guarded = socket
        .set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))
        .and_then(|()| socket.set_tcp_notsent_lowat(NOTSENT_LOWAT));
    if let Err(error) = guarded {
        log::warn!("cannot set the timeouts of a connection: {error}");
    }
}

/// Other systems keep the timeouts of their kernel.
#[cfg(not(target_os = "linux"))]
pub(super) fn guard(_: &TcpStream) {}

/// Listens on the address of a variable.
pub(super) fn listen(
    variable: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), ServeError> {
    let listener =
        TcpListener::bind(address).map_err(|error| ServeError::Bind(variable, address, error))?;
    // Repeated to set a backlog for all clients of a lost node together. If the backlog is full, the kernel drops the SYN and
    // the client retries after 1, 3 and 7 s.
    socket2::SockRef::from(&listener).listen(LISTEN_BACKLOG)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// The server of the metrics. One thread is enough for a scrape every few seconds. Without keep-alive, no idle connection
/// delays the shutdown.
pub(super) fn serve_metrics(handles: &Handles, listener: TcpListener) -> std::io::Result<Server> {
    let delivery = web::Data::from(Arc::clone(&handles.delivery));
    let lifecycle = web::Data::from(Arc::clone(&handles.lifecycle));
    Ok(HttpServer::new(move || {
        actix_web::App::new()
            .app_data(delivery.clone())
            .app_data(lifecycle.clone())
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
