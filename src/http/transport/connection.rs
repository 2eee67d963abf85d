//! The connections of clients, as dispatchers read and write them.

use crate::http::transport::parked::Parked;
use crate::http::transport::request_heads::Heads;
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

/// How long the head of a request may take to arrive. A node that was stopped looks at this clock before it reads what has
/// arrived meanwhile, and answers 408: so it is longer than a stop that the promises cover and clients sit out.
pub const REQUEST_HEAD: Duration = Duration::from_secs(30);

/// How long a client may go on sending a body that was refused, so that it gets to read the refusal.
pub const DISCONNECT: Duration = Duration::from_secs(1);

/// The longest answer that a dispatcher makes itself.
const BARE: usize = 160;

/// A connection of a client, shared by what runs on it.
pub struct Connection {
    stream: RefCell<TcpStream>,
    pub(in crate::http) heads: RefCell<Heads>,
    /// The end of the time for a head of which a part has arrived.
    late: RefCell<Option<Pin<Box<Sleep>>>>,
    /// How many requests are with the layer.
    under_way: Cell<u32>,
    /// The kernel had no room for all that was to be written.
    is_stuck: Cell<bool>,
    /// The status by which the dispatcher would have refused a request that it could not read.
    pub(in crate::http) refused: Cell<Option<u16>>,
    pub(in crate::http) parked: RefCell<Option<Box<Parked>>>,
}

/// A request that the layer has, until it is dropped.
pub(in crate::http) struct UnderWay(Rc<Connection>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get() - 1);
    }
}

impl Connection {
    pub(in crate::http) fn of(stream: TcpStream) -> Self {
        Self {
            stream: RefCell::new(stream),
            heads: RefCell::default(),
            late: RefCell::default(),
            under_way: Cell::default(),
            is_stuck: Cell::default(),
            refused: Cell::default(),
            parked: RefCell::default(),
        }
    }

    /// Counts a request that the layer has.
    pub(in crate::http) fn begin(self: &Rc<Self>) -> UnderWay {
        self.under_way.set(self.under_way.get() + 1);
        UnderWay(Rc::clone(self))
    }

    /// The length of the head of the request under way, when the buffers of the dispatcher are empty but for that: nothing
    /// of an earlier answer waits to be written, and nothing of a later request has been read.
    pub(in crate::http) fn only_head(&self) -> Option<usize> {
        let head = self.heads.borrow().only();
        head.filter(|_| !self.is_stuck.get())
    }

    /// Ends when the client has gone. One that has sent something more is there, as far as we can see.
    pub(in crate::http) async fn gone(&self) {
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
    pub(in crate::http) async fn is_used_again(
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

    /// Ends the time for a head, of which there must be a part, when it is over and no other request is under way.
    fn poll_late(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut late = self.late.borrow_mut();
        if !self.heads.borrow().is_within() {
            *late = None;
            return Poll::Pending;
        }
        loop {
            let timer = late.get_or_insert_with(|| Box::pin(sleep(REQUEST_HEAD)));
            ready!(timer.as_mut().poll(cx));
            *late = None;
            if self.under_way.get() == 0 {
                self.refused.set(Some(408));
                // Nothing read: to the dispatcher that is the end.
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// The connection, for a dispatcher.
pub struct Io(pub(in crate::http) Rc<Connection>);

impl Io {
    /// The connection itself, for the handlers.
    pub fn connection(&self) -> Rc<Connection> {
        Rc::clone(&self.0)
    }

    /// Reads until the client has nothing more to send, for a short time: a connection that is closed before that may take
    /// the last answer with it.
    pub(in crate::http) async fn linger(&mut self) {
        let mut bytes = [0; 1_024];
        let rest = async { while let Ok(1..) = self.read(&mut bytes).await {} };
        // Over either way.
        let _late = timeout(DISCONNECT, rest).await;
    }
}

/// Where the answer begins, and its status, that a dispatcher has made itself at the end of what it writes. Every answer of
/// the layer has the id of its request.
fn bare(bytes: &[u8]) -> Option<(usize, u16)> {
    if !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let from = bytes.len().saturating_sub(BARE);
    let (_, tail) = bytes.split_at(from);
    let at = tail.windows(7).rposition(|seven| seven == b"HTTP/1.")?;
    let (_, answer) = tail.split_at(at);
    let text = std::str::from_utf8(answer).ok()?;
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
            let is_idle = self.0.under_way.get() == 0;
            self.0.heads.borrow_mut().follow(bytes, is_idle);
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
        // actix-http 3.20 refuses what it cannot read with an empty answer, and has no way to make another one (not
        // reported; this goes when it has). It is not written: `serve` answers when the dispatcher has ended.
        let own = match bare(buf) {
            Some((0, status)) => {
                self.0.refused.set(Some(status));
                return Poll::Ready(Ok(buf.len()));
            }
            Some((at, _)) => buf.split_at(at).0,
            None => buf,
        };
        let written = Pin::new(&mut *self.0.stream.borrow_mut()).poll_write(cx, own);
        let is_whole = matches!(&written, Poll::Ready(Ok(n)) if *n == buf.len());
        self.0.is_stuck.set(!is_whole);
        self.0.heads.borrow_mut().written();
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.stream.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.refused.get().is_some() {
            // There is an answer to come.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut *self.0.stream.borrow_mut()).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::bare;

    #[test]
    fn an_answer_of_a_dispatcher_is_known() {
        let refusal = "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\
            date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n";
        let ours = "HTTP/1.1 204 No Content\r\nx-request-id: 1\r\n\r\n";
        assert_eq!(bare(refusal.as_bytes()), Some((0, 431)));
        let both = format!("{ours}{refusal}");
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
