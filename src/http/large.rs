//! Large bodies: how much memory all of them together may take, and how long each.
//!
//! A page of messages may be a megabyte, and a client may read it a byte at a time, or not at all. So what is larger than
//! [`FREE`] takes its size from a budget for as long as it is in memory (without room the request is refused as
//! `overloaded`), is handed to the connection in slices, so that it is let go of as it is written, and has a minute to be
//! read. Who does not read at all is noticed by the kernel (`server.rs`).

use crate::domain::error::Error;
use crate::http::problem::Problem;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::web::Bytes;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What every request may take without asking.
pub const FREE: usize = 64 * 1024;

/// What all large bodies together may take.
const MOST: usize = 256 * 1024 * 1024;

/// The unit of the budget.
const UNIT: usize = 1024;

/// How much is written at a time.
const SLICE: usize = 32 * 1024;

/// How long reading an answer may take: for a whole page that is 17 KB a second.
const TIME: Duration = Duration::from_secs(60);

/// How long a refused client should stay away.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The budget of a process.
pub struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST / UNIT)))
    }
}

/// A part of the budget, given back when it is dropped.
pub struct Part(OwnedSemaphorePermit);

impl Part {
    /// Takes more.
    pub fn merge(&mut self, more: Self) {
        self.0.merge(more.0);
    }
}

impl Budget {
    /// Takes so many bytes, if there is room.
    pub fn take(&self, bytes: usize) -> Result<Part, Problem> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        Arc::clone(&self.0)
            .try_acquire_many_owned(units)
            .map(Part)
            .map_err(|_no_room| Error::Overloaded(RETRY_AFTER).into())
    }

    /// How many bytes are taken.
    pub fn taken(&self) -> usize {
        MOST - self.0.available_permits() * UNIT
    }

    /// The body of an answer as it should be written.
    pub fn pace(&self, body: BoxBody) -> Result<BoxBody, Problem> {
        match body.try_into_bytes() {
            Ok(bytes) => Ok(BoxBody::new(Paced {
                part: self.take(bytes.len())?,
                bytes,
                until: None,
            })),
            Err(stream) => Ok(stream),
        }
    }
}

/// Whether a body is one to pace.
pub fn is_large(body: &BoxBody) -> bool {
    match body.size() {
        BodySize::Sized(size) => size > FREE as u64,
        BodySize::None | BodySize::Stream => false,
    }
}

/// An answer that is being written.
struct Paced {
    bytes: Bytes,
    #[expect(dead_code, reason = "held, and given back with the last byte")]
    part: Part,
    until: Option<Instant>,
}

#[derive(Debug, thiserror::Error)]
#[error("the answer was read too slowly")]
struct TooSlow;

impl MessageBody for Paced {
    type Error = TooSlow;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.bytes.len() as u64)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, TooSlow>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        // Asked for again whenever the client has read some.
        let now = Instant::now();
        if now > *self.until.get_or_insert(now + TIME) {
            return Poll::Ready(Some(Err(TooSlow)));
        }
        let slice = self.bytes.len().min(SLICE);
        Poll::Ready(Some(Ok(self.bytes.split_to(slice))))
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, Paced, SLICE};
    use actix_web::body::{BoxBody, MessageBody};
    use actix_web::web::Bytes;
    use futures_util::future::poll_fn;
    use std::pin::Pin;
    use std::time::{Duration, Instant};

    #[tokio::test]
    async fn an_answer_is_written_in_slices_until_its_time_is_up() {
        let budget = Budget::default();
        let paced = |until| Paced {
            bytes: Bytes::from(vec![7; 2 * SLICE + 1]),
            part: budget.take(2 * SLICE + 1).unwrap(),
            until,
        };
        let mut body = paced(None);
        let mut lengths = Vec::new();
        while let Some(slice) = poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
            lengths.push(slice.unwrap().len());
        }
        assert_eq!(lengths, [SLICE, SLICE, 1]);
        let mut late = paced(Some(Instant::now() - Duration::from_millis(1)));
        let refused = poll_fn(|cx| Pin::new(&mut late).poll_next(cx)).await;
        assert!(refused.unwrap().is_err());
        drop((body, late));
        assert_eq!(budget.taken(), 0);
    }

    #[test]
    fn what_finds_no_room_is_refused() {
        let budget = Budget::default();
        let most = budget.take(super::MOST).unwrap();
        assert!(budget.take(1).is_err());
        assert!(budget.pace(BoxBody::new(vec![0; 100_000])).is_err());
        drop(most);
        assert!(budget.pace(BoxBody::new(vec![0; 100_000])).is_ok());
    }
}
