//! The connections of clients, and what is left of one while its wait sleeps.
//!
//! For every connection actix keeps a dispatcher with two buffers, the headers of the request, and what its handler and the
//! layers around it keep: five times what a sleeping wait itself needs. So a wait that falls asleep is *parked*:
//! [`park`] leaves its future with the [`Connection`], and [`serve`] drops the dispatcher with all that it holds. When the
//! wait is over, the loop writes the answer itself, in the `Envelope` of every other answer. The next request on the
//! connection has a new dispatcher.

use crate::clock;
use crate::http::layer::Envelope;
use crate::http::problem::Problem;
use actix_web::body::to_bytes;
use actix_web::dev::Service;
use actix_web::http::header::HttpDate;
use actix_web::http::{ConnectionType, Version, header};
use actix_web::{HttpRequest, HttpResponse};
use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

/// The longest head of a request whose wait is parked. A longer one waits in its handler.
const HEAD: usize = 16 * 1024;

/// The answer to a request, once its wait is over.
type Asleep = Pin<Box<dyn Future<Output = Result<HttpResponse, Problem>>>>;

/// A wait that sleeps.
struct Parked {
    asleep: Asleep,
    envelope: Envelope,
}

/// A connection of a client, shared by what runs on it.
pub struct Connection {
    stream: RefCell<TcpStream>,
    /// The first bytes that were read since something was written, and how many there were in all. When they are a whole
    /// head, and nothing else, the buffers of the dispatcher are empty.
    head: RefCell<Vec<u8>>,
    read: Cell<usize>,
    /// The kernel had no room for all that was to be written.
    is_stuck: Cell<bool>,
    parked: RefCell<Option<Box<Parked>>>,
}

impl Connection {
    fn of(stream: TcpStream) -> Self {
        Self {
            stream: RefCell::new(stream),
            head: RefCell::default(),
            read: Cell::new(0),
            is_stuck: Cell::new(false),
            parked: RefCell::default(),
        }
    }

    /// Whether this request is all that there is in the buffers of a dispatcher, so that nothing else is lost with it.
    fn has_only(&self, request: &HttpRequest) -> bool {
        let head = self.head.borrow();
        let beginning = format!("GET {} HTTP/1.1\r\n", request.uri());
        // A parser takes an empty line without its carriage return as well.
        let end = |at: &[u8]| at.starts_with(b"\n\r\n") || at.starts_with(b"\n\n");
        let ends = (0..head.len()).find(|at| head.get(*at..).is_some_and(end));
        let has_body = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING]
            .iter()
            .any(|name| request.headers().contains_key(name));
        head.len() == self.read.get()
            && !self.is_stuck.get()
            && head.starts_with(beginning.as_bytes())
            && head.ends_with(b"\r\n\r\n")
            && ends.is_some_and(|at| at + 3 == head.len())
            && !has_body
            && request.version() == Version::HTTP_11
            && request.head().connection_type() == ConnectionType::KeepAlive
    }

    fn note(&self, bytes: &[u8]) {
        let mut head = self.head.borrow_mut();
        let before = self.read.replace(self.read.get() + bytes.len());
        let goes_on = match before {
            0 => bytes.starts_with(b"GET "),
            before => head.len() == before,
        };
        if goes_on && before + bytes.len() <= HEAD {
            head.extend_from_slice(bytes);
        }
    }

    /// Forgets what was read: it has been answered, or will be without a dispatcher.
    fn forget(&self) {
        self.head.take();
        self.read.set(0);
    }

    /// Ends when the client has gone. One that has sent something more is there, as far as we can see.
    async fn gone(&self) {
        let mut byte = [0];
        let peeked = poll_fn(|cx| {
            let stream = self.stream.borrow();
            stream.poll_peek(cx, &mut ReadBuf::new(&mut byte))
        });
        if let Ok(1..) = peeked.await {
            pending().await
        }
    }

    /// Whether there is something to read before the time is over.
    async fn is_used_again(&self, idle: Duration, stopping: impl Future<Output = ()>) -> bool {
        let readable = poll_fn(|cx| self.stream.borrow().poll_read_ready(cx));
        tokio::select! {
            readable = readable => readable.is_ok(),
            () = tokio::time::sleep(idle) => false,
            () = stopping => false,
        }
    }
}

/// Leaves a wait that sleeps with its connection. Where the connection has to be kept as it is, it sleeps here.
pub async fn park(request: &HttpRequest, asleep: Asleep) -> Result<HttpResponse, Problem> {
    let connection = request.conn_data::<Rc<Connection>>();
    let Some(connection) = connection.filter(|connection| connection.has_only(request)) else {
        return asleep.await;
    };
    let Some(envelope) = Envelope::of(request) else {
        return asleep.await;
    };
    let parked = Box::new(Parked { asleep, envelope });
    connection.parked.replace(Some(parked));
    // The dispatcher goes, and this with it.
    pending().await
}

impl Parked {
    /// The bytes of the answer, as a dispatcher would write them, and whether it is the last one of its connection.
    async fn answer(
        mut self,
        outcome: Result<HttpResponse, Problem>,
    ) -> io::Result<(Vec<u8>, bool)> {
        let mut answer = outcome.unwrap_or_else(|problem| self.envelope.refuse(problem));
        self.envelope.seal(&mut answer);
        let (head, body) = answer.into_parts();
        let body = to_bytes(body)
            .await
            .map_err(|error| io::Error::other(error.to_string()))?;
        let (status, length) = (head.status(), body.len());
        let now = Duration::from_secs(clock::unix_seconds().cast_unsigned());
        let date = HttpDate::from(UNIX_EPOCH + now);
        let mut bytes = Vec::with_capacity(1_024);
        write!(
            bytes,
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\ndate: {date}\r\n"
        )?;
        let is_last = head.head().connection_type() == ConnectionType::Close;
        if is_last {
            bytes.extend_from_slice(b"connection: close\r\n");
        }
        for (name, value) in head.headers() {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                bytes.extend_from_slice(part);
            }
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&body);
        Ok((bytes, is_last))
    }
}

/// Serves a connection until it ends.
pub fn serve<S, F>(
    http: Rc<S>,
    stream: TcpStream,
    idle: Duration,
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
            let mut dispatcher = Box::pin(http.call((Io(Rc::clone(&connection)), peer)));
            let parked = poll_fn(|cx| {
                let ended = dispatcher.as_mut().poll(cx);
                match connection.parked.take() {
                    Some(parked) if ended.is_pending() => Poll::Ready(Ok(parked)),
                    _ => ended.map(Err),
                }
            });
            let mut parked = match parked.await {
                Ok(parked) => parked,
                Err(ended) => return ended,
            };
            drop(dispatcher);
            connection.forget();
            let outcome = tokio::select! {
                outcome = parked.asleep.as_mut() => outcome,
                () = connection.gone() => return Ok(()),
            };
            // There are thousands asleep at a time: what is needed only after the waking has a box of its own, then.
            let stays = Box::pin(async {
                let (bytes, is_last) = parked.answer(outcome).await?;
                let mut io = Io(Rc::clone(&connection));
                io.write_all(&bytes).await?;
                if is_last {
                    io.shutdown().await?;
                }
                io::Result::Ok(!is_last && connection.is_used_again(idle, stopping()).await)
            });
            // Any error is that of a client who has gone.
            if !matches!(stays.await, Ok(true)) {
                return Ok(());
            }
        }
    }
}

/// The connection, for a dispatcher.
pub struct Io(Rc<Connection>);

impl Io {
    /// The connection itself, for the handlers.
    pub fn connection(&self) -> Rc<Connection> {
        Rc::clone(&self.0)
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let mut stream = self.0.stream.borrow_mut();
        ready!(Pin::new(&mut *stream).poll_read(cx, buf))?;
        self.0.note(buf.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut stream = self.0.stream.borrow_mut();
        let written = Pin::new(&mut *stream).poll_write(cx, buf);
        let is_whole = matches!(&written, Poll::Ready(Ok(n)) if *n == buf.len());
        self.0.is_stuck.set(!is_whole);
        self.0.head.borrow_mut().clear();
        self.0.read.set(0);
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.stream.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.stream.borrow_mut()).poll_shutdown(cx)
    }
}
