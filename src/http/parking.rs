//! The connections of clients, and what is left of one while its wait sleeps.
//!
//! For every connection actix keeps a dispatcher with two buffers, the headers of the request, and what its handler and the
//! layers around it keep: four times what a sleeping wait itself needs. So a wait that falls asleep is *parked*:
//! [`wait`] leaves its future with the [`Connection`], and [`serve`] drops the dispatcher with all that it holds. When the
//! wait is over, its request is *replayed*, read once more by a new dispatcher, and answered at once with what the wait
//! came to. What had been proved and counted for the request goes with it ([`Resumed`]), so that all of that happens once.

use crate::domain::error::Error;
use crate::domain::notices::{Notice, Wait};
use crate::http::layer::RequestId;
use crate::model::account::Caller;
use crate::model::limit::Standing;
use actix_web::dev::Service;
use actix_web::http::{ConnectionType, Version, header};
use actix_web::{HttpMessage, HttpRequest};
use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The longest head of a request that is kept. A longer one waits in its handler.
const HEAD: usize = 16 * 1024;

/// The end of a wait.
type Asleep = Pin<Box<dyn Future<Output = Result<Notice, Error>>>>;

/// What a request had come to before its wait fell asleep.
pub struct Resumed {
    /// When it came.
    pub started: Instant,
    /// Its id.
    pub id: RequestId,
    /// Where the caller stands with the rate limit.
    pub standing: Option<Standing>,
    /// Who asks, as the token said.
    pub caller: Caller,
    /// What the wait came to.
    notice: Result<Notice, Error>,
}

/// When a request came; in its extensions.
#[derive(Clone, Copy)]
pub struct Started(pub Instant);

/// A wait that sleeps, and its request but for the bytes.
struct Parked {
    asleep: Asleep,
    started: Instant,
    id: RequestId,
    standing: Option<Standing>,
    caller: Caller,
}

/// A connection of a client, shared by what runs on it.
pub struct Connection {
    stream: RefCell<TcpStream>,
    /// The first bytes that were read since something was written, and how many there were in all. When they are a whole
    /// head, and nothing else, it can be replayed.
    head: RefCell<Vec<u8>>,
    read: Cell<usize>,
    /// A replay: what is to be read, once more. Nothing else is, until it is answered.
    again: RefCell<Vec<u8>>,
    replays: Cell<bool>,
    /// The kernel had no room for all that was to be written.
    is_stuck: Cell<bool>,
    parked: RefCell<Option<Box<Parked>>>,
    resumed: RefCell<Option<Box<Resumed>>>,
}

impl Connection {
    fn of(stream: TcpStream) -> Self {
        Self {
            stream: RefCell::new(stream),
            head: RefCell::default(),
            read: Cell::new(0),
            again: RefCell::default(),
            replays: Cell::new(false),
            is_stuck: Cell::new(false),
            parked: RefCell::default(),
            resumed: RefCell::default(),
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

    /// Whether there is nothing in the buffers of a dispatcher that replays: its answer is short, and went out whole.
    fn has_answered(&self) -> bool {
        self.replays.get() && self.read.get() == 0 && !self.is_stuck.get()
    }

    /// Has the request read once more, to be answered with this.
    fn replay(&self, resumed: Resumed) {
        self.resumed.replace(Some(Box::new(resumed)));
        self.again.swap(&self.head);
        self.read.set(0);
        self.replays.set(true);
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

/// The layer takes this once, at the beginning of the request that is replayed; nothing of it is left for the next one.
pub fn resumed(connection: Option<&Rc<Connection>>) -> Option<Resumed> {
    connection?.resumed.take().map(|resumed| *resumed)
}

/// What the wait of this request comes to, or came to.
pub async fn wait(
    request: &HttpRequest,
    caller: Caller,
    begin: impl Future<Output = Result<Wait, Error>>,
) -> Result<Notice, Error> {
    let resumed = request.extensions_mut().remove::<Resumed>();
    if let Some(resumed) = resumed {
        return resumed.notice;
    }
    let asleep = match begin.await? {
        Wait::Over(notice) => return Ok(notice),
        Wait::Asleep(asleep) => asleep,
    };
    match park(request, caller, asleep) {
        // The dispatcher goes, and this with it.
        Ok(()) => pending().await,
        Err(asleep) => asleep.await,
    }
}

/// Leaves a wait with its connection, unless the connection has to be kept as it is.
fn park(request: &HttpRequest, caller: Caller, asleep: Asleep) -> Result<(), Asleep> {
    let connection = request.conn_data::<Rc<Connection>>();
    let Some(connection) = connection.filter(|connection| connection.has_only(request)) else {
        return Err(asleep);
    };
    let extensions = request.extensions();
    let (id, started) = (extensions.get::<RequestId>(), extensions.get::<Started>());
    let (Some(id), Some(Started(started))) = (id, started) else {
        return Err(asleep);
    };
    connection.parked.replace(Some(Box::new(Parked {
        asleep,
        started: *started,
        id: id.clone(),
        standing: extensions.get::<Standing>().copied(),
        caller,
    })));
    Ok(())
}

/// That the node stops, for the connections of one thread.
#[derive(Clone)]
pub struct Stopping<F> {
    signal: F,
    /// The dispatcher that is made just now replays.
    replays: Rc<Cell<bool>>,
}

impl<F: AsyncFn()> Stopping<F> {
    /// Of what ends when the node stops.
    pub fn new(signal: F) -> Self {
        Self {
            signal,
            replays: Rc::default(),
        }
    }

    /// What a dispatcher asks for when it is made. One that knows that the node stops begins no request, so one that replays
    /// is not told: who waits has been promised an answer. [`serve`] ends the connection after it.
    pub fn for_dispatcher(&self) -> impl Future<Output = ()> + use<F>
    where
        F: Clone,
    {
        let (signal, replays) = (self.signal.clone(), self.replays.get());
        async move {
            match replays {
                true => pending().await,
                false => signal().await,
            }
        }
    }
}

/// Serves a connection until it ends.
pub fn serve<S, F>(
    http: Rc<S>,
    stream: TcpStream,
    idle: Duration,
    stopping: Stopping<F>,
) -> impl Future<Output = Result<(), S::Error>>
where
    S: Service<(Io, Option<SocketAddr>), Response = ()>,
    F: AsyncFn(),
{
    let peer = stream.peer_addr().ok();
    let connection = Rc::new(Connection::of(stream));
    // An async function would keep its arguments twice, for as long as the connection lives.
    async move {
        loop {
            stopping.replays.set(connection.replays.get());
            let mut dispatcher = Box::pin(http.call((Io(Rc::clone(&connection)), peer)));
            let ended = poll_fn(|cx| {
                let ended = dispatcher.as_mut().poll(cx).map(Some);
                let is_parked = connection.parked.borrow().is_some();
                if ended.is_pending() && (is_parked || connection.has_answered()) {
                    return Poll::Ready(None);
                }
                ended
            });
            if let Some(ended) = ended.await {
                return ended;
            }
            drop(dispatcher);
            connection.replays.set(false);
            let parked = connection.parked.take();
            if let Some(mut parked) = parked {
                connection.head.borrow_mut().shrink_to_fit();
                let notice = tokio::select! {
                    notice = parked.asleep.as_mut() => notice,
                    () = connection.gone() => return Ok(()),
                };
                connection.replay(Resumed {
                    started: parked.started,
                    id: parked.id,
                    standing: parked.standing,
                    caller: parked.caller,
                    notice,
                });
            } else if !Box::pin(connection.is_used_again(idle, (stopping.signal)())).await {
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
        let mut again = self.0.again.borrow_mut();
        if !again.is_empty() {
            let some = again.len().min(buf.remaining());
            let rest = again.split_off(some);
            buf.put_slice(&again);
            *again = rest;
        } else if self.0.replays.get() {
            // Whatever the client has sent meanwhile is for the dispatcher after this one.
            return Poll::Pending;
        } else {
            let mut stream = self.0.stream.borrow_mut();
            ready!(Pin::new(&mut *stream).poll_read(cx, buf))?;
        }
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
