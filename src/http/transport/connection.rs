//! Connections of clients, as dispatchers read and write them.

use crate::http::transport::parked::Parked;
use crate::http::transport::request_heads::RequestHeads;
use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};

/// How long the head of a request may take to arrive. A process that was paused checks this timer before it reads the bytes
/// that arrived meanwhile, and responds 408. So the timer is longer than the pauses that clients must tolerate.
pub const REQUEST_HEAD: Duration = Duration::from_secs(30);

/// How long a client may continue to send a refused body, so that it can read the response.
pub const DISCONNECT: Duration = Duration::from_secs(1);

/// The longest response that a dispatcher makes itself.
const MAX_BARE: usize = 160;

/// A connection of a client, shared by its dispatcher and its requests.
pub struct ClientConnection {
    stream: RefCell<TcpStream>,
    pub(in crate::http) heads: RefCell<RequestHeads>,
    /// The timer of a head that has arrived in part.
    head_timer: RefCell<Option<Pin<Box<Sleep>>>>,
    /// The number of requests in the middleware.
    in_flight: Cell<u32>,
    /// The kernel did not accept all bytes of the last write.
    is_write_blocked: Cell<bool>,
    /// The status of the dispatcher's response to a request that it could not parse.
    pub(in crate::http) unreadable_status: Cell<Option<u16>>,
    pub(in crate::http) parked: RefCell<Option<Box<Parked>>>,
}

/// A request in the middleware, until it is dropped.
pub(in crate::http) struct InFlight(Rc<ClientConnection>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get() - 1);
    }
}

impl ClientConnection {
    pub(in crate::http) fn of(stream: TcpStream) -> Self {
        Self {
            stream: RefCell::new(stream),
            heads: RefCell::default(),
            head_timer: RefCell::default(),
            in_flight: Cell::default(),
            is_write_blocked: Cell::default(),
            unreadable_status: Cell::default(),
            parked: RefCell::default(),
        }
    }

    /// Counts a request in the middleware.
    pub(in crate::http) fn begin_request(self: &Rc<Self>) -> InFlight {
        self.in_flight.set(self.in_flight.get() + 1);
        InFlight(Rc::clone(self))
    }

    /// The length of the current request's head, if the dispatcher's buffers hold nothing else: no unsent bytes of an earlier
    /// response, and no bytes of a later request.
    pub(in crate::http) fn only_head_length(&self) -> Option<usize> {
        let head = self.heads.borrow().only_length();
        head.filter(|_| !self.is_write_blocked.get())
    }

    /// Returns when the client has disconnected. After further bytes of the client a disconnect cannot be seen, so it then never
    /// returns.
    pub(in crate::http) async fn disconnected(&self) {
        let mut byte = [0];
        let peeked = poll_fn(|cx| {
            let stream = self.stream.borrow();
            stream.poll_peek(cx, &mut ReadBuf::new(&mut byte))
        });
        if let Ok(1..) = peeked.await {
            pending().await
        }
    }

    /// Waits for the next request. False after the idle time, or when the node stops.
    pub(in crate::http) async fn has_next_request(
        &self,
        idle: Duration,
        stopping: impl Future<Output = ()>,
    ) -> bool {
        let readable = poll_fn(|cx| self.stream.borrow().poll_read_ready(cx));
        tokio::select! {
            readable = readable => readable.is_ok(),
            () = sleep(idle) => false,
            () = stopping => false,
        }
    }

    /// Ends the connection when a head has arrived only in part within [`REQUEST_HEAD`], and no other request is in flight.
    fn poll_late(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut head_timer = self.head_timer.borrow_mut();
        if !self.heads.borrow().is_incomplete() {
            *head_timer = None;
            return Poll::Pending;
        }
        loop {
            let timer = head_timer.get_or_insert_with(|| Box::pin(sleep(REQUEST_HEAD)));
            ready!(timer.as_mut().poll(cx));
            *head_timer = None;
            if self.in_flight.get() == 0 {
                self.unreadable_status.set(Some(408));
                // A read of zero bytes: end of file to the dispatcher.
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// The connection as the input and output of a dispatcher.
pub struct Io(pub(in crate::http) Rc<ClientConnection>);

impl Io {
    /// The connection itself, for the handlers.
    pub fn connection(&self) -> Rc<ClientConnection> {
        Rc::clone(&self.0)
    }

    /// Reads and discards what the client still sends, for up to [`DISCONNECT`]. If a connection is closed with unread bytes, the
    /// kernel may discard the last response.
    pub(in crate::http) async fn linger(&mut self) {
        let mut bytes = [0; 1_024];
        let rest = async { while let Ok(1..) = self.read(&mut bytes).await {} };
        // A timeout needs no handling.
        let _elapsed = timeout(DISCONNECT, rest).await;
    }
}

/// The position and status of a response that the dispatcher itself has made, if the written bytes end with one. Responses of
/// the middleware have an `X-Request-Id`.
fn bare(bytes: &[u8]) -> Option<(usize, u16)> {
    if !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let from = bytes.len().saturating_sub(MAX_BARE);
    let (_, tail) = bytes.split_at(from);
    let at = tail.windows(7).rposition(|seven| seven == b"HTTP/1.")?;
    let (_, response) = tail.split_at(at);
    let text = std::str::from_utf8(response).ok()?;
    let status = text.split(' ').nth(1)?.parse().ok()?;
    let is_bare = status >= 400 && !text.contains("\r\nx-request-id: ");
    is_bare.then_some((from + at, status))
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut *self.0.stream.borrow_mut()).poll_read(cx, buf);
        if read.is_pending() {
            return self.0.poll_late(cx);
        }
        if let Some(bytes) = buf.filled_mut().get_mut(before..) {
            let is_idle = self.0.in_flight.get() == 0;
            self.0.heads.borrow_mut().scan(bytes, is_idle);
        }
        read
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        // actix-http 3.20 responds to unreadable requests with an empty body, and has no setting for another one (not reported;
        // remove this when it has one). That response is not written: `serve` responds when the dispatcher has ended.
        let own = match bare(buf) {
            Some((0, status)) => {
                self.0.unreadable_status.set(Some(status));
                return Poll::Ready(Ok(buf.len()));
            }
            Some((at, _)) => buf.split_at(at).0,
            None => buf,
        };
        let written = Pin::new(&mut *self.0.stream.borrow_mut()).poll_write(cx, own);
        let is_whole = matches!(&written, Poll::Ready(Ok(n)) if *n == buf.len());
        self.0.is_write_blocked.set(!is_whole);
        self.0.heads.borrow_mut().on_write();
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.stream.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.unreadable_status.get().is_some() {
            // `serve` still has to write the response.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut *self.0.stream.borrow_mut()).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::bare;

    #[test]
    fn responses_of_the_dispatcher_are_recognized() {
        let unreadable = "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\
            date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n";
        let ours = "HTTP/1.1 204 No Content\r\nx-request-id: 1\r\n\r\n";
        assert_eq!(bare(unreadable.as_bytes()), Some((0, 431)));
        let both = format!("{ours}{unreadable}");
        assert_eq!(bare(both.as_bytes()), Some((ours.len(), 431)));
        for other in [
            "",
            ours,
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\nx-request-id: 1\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\nx-request-id: 1\r\n\r\n{\"code\":\"not_found\"}",
            "a body that ends so\r\n\r\n",
        ] {
            assert_eq!(bare(other.as_bytes()), None, "{other}");
        }
    }
}
