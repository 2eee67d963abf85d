//! Chunked bodies that the handler does not read to their end, because it refused them or takes no body.
//!
//! When a handler drops such a body, actix-http continues to read its chunks, even after the response and without a timer, so a
//! client without a token could hold a connection forever. If the reader of the body still exists when the response was sent,
//! actix-http stops reading and closes the connection after a few seconds. So the response keeps the reader.

use actix_web::HttpMessage;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::http::header::TRANSFER_ENCODING;
use actix_web::web::Bytes;
use futures_util::StreamExt;
use futures_util::stream::poll_fn;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// The reader of a body, shared with the handler.
pub(in crate::http) type Reader = Rc<RefCell<Payload>>;

/// Shares the reader of a chunked body with the handler.
pub(in crate::http) fn share(request: &mut ServiceRequest) -> Option<Reader> {
    if !request.headers().contains_key(TRANSFER_ENCODING) {
        return None;
    }
    let shared = Rc::new(RefCell::new(request.take_payload()));
    let reader = Rc::clone(&shared);
    let payload = poll_fn(move |cx| shared.borrow_mut().poll_next_unpin(cx)).boxed_local();
    request.set_payload(Payload::Stream { payload });
    Some(reader)
}

/// Wraps a response body so that it keeps the reader until it is sent.
pub(in crate::http) fn keep(reader: Reader, body: BoxBody) -> BoxBody {
    BoxBody::new(BodyWithReader {
        body,
        _reader: reader,
    })
}

struct BodyWithReader {
    body: BoxBody,
    _reader: Reader,
}

impl MessageBody for BodyWithReader {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}
