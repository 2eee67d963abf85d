//! Parked waits: frees the memory of a connection while its long-poll sleeps.
//!
//! For every connection actix keeps a dispatcher with two buffers, the headers of the request, and the state of its handler and
//! middleware: five times the memory of the sleeping wait itself. So a wait that starts to sleep is *parked*: [`park`] stores
//! its future in the [`ClientConnection`], and [`serve`] drops the dispatcher. When the wait is over, `serve` writes the
//! response itself, with the same `ResponseContext` as any other response. The next request on the connection gets a new
//! dispatcher.

use crate::config::Config;
use crate::http::kit::extractors::budget_subjects;
use crate::http::kit::problem::{Code, Problem};
use crate::http::kit::response_context::ResponseContext;
use crate::http::transport::body_budget::Budget;
use crate::http::transport::connection::{ClientConnection, Io};
use crate::http::transport::parked::{Parked, ResponseFuture, Wire};
use crate::telemetry::Route;
use actix_web::dev::Service;
use actix_web::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use actix_web::http::{ConnectionType, Version};
use actix_web::{HttpRequest, HttpResponse, web};
use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// The longest head of a wait.
const MAX_WAIT_HEAD: usize = 16 * 1024;

/// The memory of a wait that cannot be parked: the longest head that a dispatcher reads, and its buffers.
const UNPARKED_BYTES: usize = 160 * 1024;

/// The state of a thread that serves connections.
pub struct Public<S> {
    /// Makes dispatchers.
    pub http: S,
    /// The settings.
    pub config: Arc<Config>,
    /// The metrics of requests without a route.
    pub unmatched: Rc<Route>,
    /// How long a connection may be idle.
    pub idle: Duration,
}

/// Refuses a wait with a long head, because the head stays in memory until the wait is over.
pub fn check_head(request: &HttpRequest) -> Result<(), Problem> {
    let connection = request.conn_data::<Rc<ClientConnection>>();
    let length = connection.and_then(|connection| connection.only_head_length());
    let fields = || -> usize {
        let fields = request.headers().iter();
        let lengths = fields.map(|(name, value)| name.as_str().len() + value.len() + 4);
        request.uri().path().len() + request.query_string().len() + lengths.sum::<usize>()
    };
    if length.unwrap_or_else(fields) > MAX_WAIT_HEAD {
        return Err(Problem::new(Code::HeadTooLarge));
    }
    Ok(())
}

/// Parks a wait in its connection. If the dispatcher's buffers hold other data, it cannot be dropped: the wait then sleeps here,
/// and reserves that memory in the budget of large bodies.
pub async fn park(
    request: &HttpRequest,
    response: ResponseFuture,
) -> Result<HttpResponse, Problem> {
    let headers = request.headers();
    let has_body = headers.contains_key(TRANSFER_ENCODING)
        || headers
            .get(CONTENT_LENGTH)
            .is_some_and(|length| length.as_bytes().iter().any(|digit| *digit != b'0'));
    let connection = request
        .conn_data::<Rc<ClientConnection>>()
        .filter(|connection| connection.only_head_length().is_some() && !has_body);
    let (Some(connection), Some(context)) = (connection, ResponseContext::of(request)) else {
        let budget = request.app_data::<web::Data<Budget>>();
        let reserve = |budget: &web::Data<Budget>| {
            let subjects = budget_subjects(request);
            budget.reserve(subjects, UNPARKED_BYTES)
        };
        let _reservation = budget.map(reserve).transpose()?;
        return response.await;
    };
    let wire = Wire {
        version: request.version(),
        connection: request.head().connection_type(),
    };
    let parked = Box::new(Parked {
        response,
        context,
        wire,
    });
    connection.parked.replace(Some(parked));
    // `serve` drops the dispatcher, and this future with it.
    pending().await
}

/// Serves a connection until it ends.
pub fn serve<S, F>(
    public: Rc<Public<S>>,
    stream: TcpStream,
    stopping: impl Fn() -> F,
) -> impl Future<Output = Result<(), S::Error>>
where
    S: Service<(Io, Option<SocketAddr>), Response = ()>,
    F: Future<Output = ()>,
{
    let peer = stream.peer_addr().ok();
    let connection = Rc::new(ClientConnection::of(stream));
    // An async function would keep its arguments twice, until the connection ends.
    async move {
        loop {
            let mut dispatcher = Box::pin(public.http.call((Io(Rc::clone(&connection)), peer)));
            let parked = poll_fn(|cx| {
                let ended = dispatcher.as_mut().poll(cx);
                match connection.parked.take() {
                    Some(parked) if ended.is_pending() => Poll::Ready(Ok(parked)),
                    _ => ended.map(Err),
                }
            });
            let mut parked = match parked.await {
                Ok(parked) => parked,
                Err(ended) => {
                    drop(dispatcher);
                    if let Some(status) = connection.unreadable_status.take() {
                        // An error means that the client has disconnected.
                        let _disconnected =
                            Box::pin(respond_unreadable(&public, &connection, status)).await;
                    }
                    return ended;
                }
            };
            drop(dispatcher);
            // Resets the scanner: a new dispatcher reads the next head.
            connection.heads.take();
            let outcome = tokio::select! {
                outcome = parked.response.as_mut() => outcome,
                () = connection.disconnected() => return Ok(()),
            };
            // Boxed only now, because thousands of waits sleep at a time, and this state is needed only after the wake-up.
            let is_reused = Box::pin(async {
                let Parked { context, wire, .. } = *parked;
                let (bytes, is_last) = wire.encode(context, outcome).await?;
                let mut io = Io(Rc::clone(&connection));
                io.write_all(&bytes).await?;
                if is_last {
                    io.shutdown().await?;
                }
                let idle = public.idle;
                io::Result::Ok(!is_last && connection.has_next_request(idle, stopping()).await)
            });
            // An error means that the client has disconnected.
            if !matches!(is_reused.await, Ok(true)) {
                return Ok(());
            }
        }
    }
}

/// Responds to a request that the dispatcher could not parse, and closes the connection.
async fn respond_unreadable<S>(
    public: &Public<S>,
    connection: &Rc<ClientConnection>,
    status: u16,
) -> io::Result<()> {
    let heads = connection.heads.take();
    let route = Rc::clone(&public.unmatched);
    let context = ResponseContext::for_unreadable(&public.config, &heads, route);
    let wire = Wire {
        version: Version::HTTP_11,
        connection: ConnectionType::Close,
    };
    let (bytes, _) = wire
        .encode(context, Err(Problem::unreadable(status)))
        .await?;
    let mut io = Io(Rc::clone(connection));
    io.write_all(&bytes).await?;
    io.shutdown().await?;
    io.linger().await;
    Ok(())
}
