//! Chunked bodies that nobody reads to their end: one that was refused, or one of a request that has none.
//!
//! When a handler drops such a body, actix-http reads on for as long as its chunks come or do not come, after the answer too,
//! and no timer runs: anybody could keep a connection for good, without a token. A body that still has its reader when the
//! answer is out is not read on: the connection lingers for a few seconds and is closed. So the answer keeps the reader.

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

/// The reader of a body, beside the handler who may read it.
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

/// The body of an answer, which keeps the reader until it is sent.
pub(in crate::http) fn keep(reader: Reader, body: BoxBody) -> BoxBody {
    BoxBody::new(Answer {
        body,
        _reader: reader,
    })
}

struct Answer {
    body: BoxBody,
    _reader: Reader,
}

impl MessageBody for Answer {
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
