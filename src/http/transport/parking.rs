//! What is left of a connection while its wait sleeps.
//!
//! For every connection actix keeps a dispatcher with two buffers, the headers of the request, and what its handler and the
//! layers around it keep: five times what a sleeping wait itself needs. So a wait that falls asleep is *parked*:
//! [`park`] leaves its future with the [`Connection`], and [`serve`] drops the dispatcher with all that it holds. When the
//! wait is over, the loop writes the answer itself, in the `ResponseContext` of every other answer. The next request on the
//! connection has a new dispatcher.

use crate::config::Config;
use crate::http::kit::extractors::whose;
use crate::http::kit::problem::{Code, Problem};
use crate::http::kit::response_context::ResponseContext;
use crate::http::transport::body_budget::Budget;
use crate::http::transport::connection::{Connection, Io};
use crate::http::transport::parked::{Asleep, Parked, Wire};
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

/// The longest head of a request that waits.
const HEAD: usize = 16 * 1024;

/// What a connection takes whose wait is not parked: the longest head that a dispatcher reads, and its buffers.
const KEPT: usize = 160 * 1024;

/// What a thread needs to serve connections.
pub struct Public<S> {
    /// Makes dispatchers.
    pub http: S,
    /// The settings.
    pub config: Arc<Config>,
    /// The metrics of what no route takes.
    pub unmatched: Rc<Route>,
    /// How long a connection may be idle.
    pub idle: Duration,
}

/// Refuses a wait with a long head: it would be kept for as long as the wait lasts.
pub fn check_head(request: &HttpRequest) -> Result<(), Problem> {
    let connection = request.conn_data::<Rc<Connection>>();
    let length = connection.and_then(|connection| connection.only_head());
    let fields = || -> usize {
        let fields = request.headers().iter();
        let lengths = fields.map(|(name, value)| name.as_str().len() + value.len() + 4);
        request.uri().path().len() + request.query_string().len() + lengths.sum::<usize>()
    };
    if length.unwrap_or_else(fields) > HEAD {
        return Err(Problem::new(Code::HeadTooLarge));
    }
    Ok(())
}

/// Leaves a wait that sleeps with its connection. Where the connection has to be kept as it is, since something else is in
/// its buffers, it sleeps here, for a part of the budget of large bodies.
pub async fn park(request: &HttpRequest, asleep: Asleep) -> Result<HttpResponse, Problem> {
    let headers = request.headers();
    let has_body = headers.contains_key(TRANSFER_ENCODING)
        || headers
            .get(CONTENT_LENGTH)
            .is_some_and(|length| length.as_bytes().iter().any(|digit| *digit != b'0'));
    let connection = request
        .conn_data::<Rc<Connection>>()
        .filter(|connection| connection.only_head().is_some() && !has_body);
    let (Some(connection), Some(context)) = (connection, ResponseContext::of(request)) else {
        let budget = request.app_data::<web::Data<Budget>>();
        let take = |budget: &web::Data<Budget>| budget.take(whose(request), KEPT);
        let _part = budget.map(take).transpose()?;
        return asleep.await;
    };
    let wire = Wire {
        version: request.version(),
        connection: request.head().connection_type(),
    };
    let parked = Box::new(Parked {
        asleep,
        context,
        wire,
    });
    connection.parked.replace(Some(parked));
    // The dispatcher goes, and this with it.
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
    let connection = Rc::new(Connection::of(stream));
    // An async function would keep its arguments twice, for as long as the connection lives.
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
                    if let Some(status) = connection.refused.take() {
                        // Any error is that of a client who has gone.
                        let _gone = Box::pin(refuse(&public, &connection, status)).await;
                    }
                    return ended;
                }
            };
            drop(dispatcher);
            // It is answered without a dispatcher.
            connection.heads.take();
            let outcome = tokio::select! {
                outcome = parked.asleep.as_mut() => outcome,
                () = connection.gone() => return Ok(()),
            };
            // There are thousands asleep at a time: what is needed only after the waking has a box of its own, then.
            let stays = Box::pin(async {
                let Parked { context, wire, .. } = *parked;
                let (bytes, is_last) = wire.answer(context, outcome).await?;
                let mut io = Io(Rc::clone(&connection));
                io.write_all(&bytes).await?;
                if is_last {
                    io.shutdown().await?;
                }
                let idle = public.idle;
                io::Result::Ok(!is_last && connection.is_used_again(idle, stopping()).await)
            });
            // Any error is that of a client who has gone.
            if !matches!(stays.await, Ok(true)) {
                return Ok(());
            }
        }
    }
}

/// Answers a request that a dispatcher could not read, and ends the connection.
async fn refuse<S>(public: &Public<S>, connection: &Rc<Connection>, status: u16) -> io::Result<()> {
    let heads = connection.heads.take();
    let context = ResponseContext::unread(&public.config, &heads, Rc::clone(&public.unmatched));
    let wire = Wire {
        version: Version::HTTP_11,
        connection: ConnectionType::Close,
    };
    let (bytes, _) = wire.answer(context, Err(Problem::unread(status))).await?;
    let mut io = Io(Rc::clone(connection));
    io.write_all(&bytes).await?;
    io.shutdown().await?;
    io.linger().await;
    Ok(())
}
