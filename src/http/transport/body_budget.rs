//! A memory budget for large bodies, and a time limit for reading each.
//!
//! A page of messages may be a megabyte, and a client may read it a byte at a time, or not at all. So a body larger than
//! [`UNMETERED_BYTES`] reserves its size in a budget for as long as it is in memory; when the budget is used up, the request is
//! `overloaded`. A large response is handed to the connection in chunks, so that its memory is freed as it is written, and must
//! be read within a minute. If a client reads nothing, the kernel's timeout closes the connection (`node/mod.rs`). A user or
//! address has only a share of the budget. Files inside the program use none of it: they are in memory once, for all requests.

use crate::engine::error::Error;
use crate::http::kit::problem::Problem;
use crate::model::rate_limit::Subject;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::web::Bytes;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Bodies up to this size need no reservation.
pub const UNMETERED_BYTES: usize = 64 * 1024;

/// The most bytes of all large bodies together.
const TOTAL_BYTES: usize = 256 * 1024 * 1024;

/// The most bytes of one user, or of one address.
const SHARE_BYTES: usize = TOTAL_BYTES / 16;

/// How many bytes are handed to the connection at a time.
const CHUNK_BYTES: usize = 32 * 1024;

/// How long a client may take to read a response: 17 KB a second for a full page.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// `Retry-After` when the budget is used up.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Extension of a response: its body is in memory once for all requests, and needs no reservation.
pub struct SharedBody;

/// The reserved bytes, in total and by subject.
#[derive(Default)]
struct Usage {
    total: usize,
    by_subject: HashMap<Subject, usize>,
}

/// The budget of a process.
#[derive(Clone, Default)]
pub struct Budget(Arc<Mutex<Usage>>);

/// Reserved bytes of the budget, released on drop.
pub struct Reservation {
    budget: Budget,
    bytes: usize,
    /// The subjects whose shares it uses.
    subjects: Vec<Subject>,
}

impl Reservation {
    /// Reserves more bytes, if the budget and the shares allow it.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let mut usage = self.budget.lock();
        let of = |one: &Subject| usage.by_subject.get(one).copied().unwrap_or_default();
        let is_over_share = |one: &Subject| of(one) + bytes > SHARE_BYTES;
        if usage.total + bytes > TOTAL_BYTES || self.subjects.iter().any(is_over_share) {
            return Err(Error::Overloaded(RETRY_AFTER).into());
        }
        usage.total += bytes;
        for one in &self.subjects {
            *usage.by_subject.entry(one.clone()).or_default() += bytes;
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut usage = self.budget.lock();
        usage.total -= self.bytes;
        for one in self.subjects.drain(..) {
            if let Entry::Occupied(mut share) = usage.by_subject.entry(one) {
                *share.get_mut() -= self.bytes;
                if *share.get() == 0 {
                    share.remove();
                }
            }
        }
    }
}

impl Budget {
    /// Reserves bytes in the shares of these subjects, if the budget allows it.
    pub fn reserve(&self, subjects: Vec<Subject>, bytes: usize) -> Result<Reservation, Problem> {
        let mut reservation = Reservation {
            budget: self.clone(),
            bytes: 0,
            subjects,
        };
        reservation.grow(bytes)?;
        Ok(reservation)
    }

    /// The reserved bytes.
    pub fn taken(&self) -> usize {
        self.lock().total
    }

    /// Reserves the bytes of a response body, and throttles it.
    pub fn throttle(&self, body: BoxBody, subjects: Vec<Subject>) -> Result<BoxBody, Problem> {
        throttled(body, |bytes| self.reserve(subjects, bytes).map(Some))
    }

    fn lock(&self) -> MutexGuard<'_, Usage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Throttles a response body that needs no reservation.
pub fn throttle_shared(body: BoxBody) -> Result<BoxBody, Problem> {
    throttled(body, |_| Ok(None))
}

fn throttled(
    body: BoxBody,
    reserve: impl FnOnce(usize) -> Result<Option<Reservation>, Problem>,
) -> Result<BoxBody, Problem> {
    match body.try_into_bytes() {
        Ok(bytes) => Ok(BoxBody::new(ThrottledBody {
            reservation: reserve(bytes.len())?,
            bytes,
            deadline: None,
        })),
        Err(stream) => Ok(stream),
    }
}

/// Whether a body must be throttled.
pub fn is_large(body: &BoxBody) -> bool {
    match body.size() {
        BodySize::Sized(size) => size > UNMETERED_BYTES as u64,
        BodySize::None | BodySize::Stream => false,
    }
}

/// A large response body that is being written.
struct ThrottledBody {
    bytes: Bytes,
    #[expect(dead_code, reason = "held until the last byte is written")]
    reservation: Option<Reservation>,
    deadline: Option<Instant>,
}

#[derive(Debug, thiserror::Error)]
#[error("the response was read too slowly")]
struct TooSlow;

impl MessageBody for ThrottledBody {
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
        // Polled again whenever the client has read some bytes.
        let now = Instant::now();
        if now > *self.deadline.get_or_insert(now + READ_TIMEOUT) {
            return Poll::Ready(Some(Err(TooSlow)));
        }
        let length = self.bytes.len().min(CHUNK_BYTES);
        Poll::Ready(Some(Ok(self.bytes.split_to(length))))
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, CHUNK_BYTES, SHARE_BYTES, ThrottledBody, throttle_shared};
    use crate::model::ids::UserId;
    use crate::model::rate_limit::Subject;
    use actix_web::body::{BoxBody, MessageBody};
    use actix_web::web::Bytes;
    use futures_util::future::poll_fn;
    use std::pin::Pin;
    use std::time::{Duration, Instant};
    use uuid::Uuid;

    #[tokio::test]
    async fn responses_are_written_in_chunks_until_the_read_timeout() {
        let budget = Budget::default();
        let throttled = |deadline| ThrottledBody {
            bytes: Bytes::from(vec![7; 2 * CHUNK_BYTES + 1]),
            reservation: Some(budget.reserve(Vec::new(), 2 * CHUNK_BYTES + 1).unwrap()),
            deadline,
        };
        let mut body = throttled(None);
        let mut lengths = Vec::new();
        while let Some(chunk) = poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
            lengths.push(chunk.unwrap().len());
        }
        assert_eq!(lengths, [CHUNK_BYTES, CHUNK_BYTES, 1]);
        let mut late = throttled(Some(Instant::now() - Duration::from_millis(1)));
        let next = poll_fn(|cx| Pin::new(&mut late).poll_next(cx)).await;
        assert!(next.unwrap().is_err());
        drop((body, late));
        assert_eq!(budget.taken(), 0);
    }

    fn user(n: u128) -> Subject {
        Subject::User(UserId(Uuid::from_u128(n)))
    }

    #[test]
    fn large_bodies_are_refused_when_the_budget_is_used_up() {
        let budget = Budget::default();
        let shares: Vec<_> = (0..16)
            .map(|n| budget.reserve(vec![user(n)], SHARE_BYTES).unwrap())
            .collect();
        assert!(budget.reserve(vec![user(16)], 1).is_err());
        let body = || BoxBody::new(vec![0; 100_000]);
        assert!(budget.throttle(body(), vec![user(16)]).is_err());
        // Shared bodies need no reservation.
        assert!(throttle_shared(body()).is_ok());
        drop(shares);
        assert!(budget.throttle(body(), vec![user(16)]).is_ok());
        assert_eq!(budget.taken(), 0);
    }

    #[test]
    fn a_subject_cannot_exceed_its_share() {
        let budget = Budget::default();
        let address = Subject::address("192.0.2.1".parse().unwrap());
        let mut reservation = budget
            .reserve(vec![address.clone(), user(1)], SHARE_BYTES - 1)
            .unwrap();
        assert!(reservation.grow(2).is_err());
        reservation.grow(1).unwrap();
        assert!(budget.reserve(vec![user(1)], 1).is_err());
        assert!(budget.reserve(vec![address.clone(), user(2)], 1).is_err());
        assert!(budget.reserve(vec![user(2)], SHARE_BYTES).is_ok());
        drop(reservation);
        assert!(budget.reserve(vec![address, user(1)], SHARE_BYTES).is_ok());
        assert_eq!(budget.taken(), 0);
        assert!(budget.lock().by_subject.is_empty());
    }
}
