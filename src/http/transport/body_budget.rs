//! Large bodies: how much memory all of them together may take, and how long each.
//!
//! A page of messages may be a megabyte, and a client may read it a byte at a time, or not at all. So what is larger than
//! [`UNMETERED_BYTES`] takes its size from a budget for as long as it is in memory (without room the request is refused as
//! `overloaded`), is handed to the connection in slices, so that it is let go of as it is written, and has a minute to be
//! read. Who does not read at all is noticed by the kernel (`node/mod.rs`). Nobody takes more than a share of the budget, and
//! files inside the program take nothing of it: they are in memory once, for all.

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

/// What every request may take without asking.
pub const UNMETERED_BYTES: usize = 64 * 1024;

/// What all large bodies together may take.
const MOST: usize = 256 * 1024 * 1024;

/// What those of one user, or of one address, may take.
const SHARE: usize = MOST / 16;

/// How much is written at a time.
const SLICE: usize = 32 * 1024;

/// How long reading an answer may take: for a whole page that is 17 KB a second.
const TIME: Duration = Duration::from_secs(60);

/// How long a refused client should stay away.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An answer with this extension has a body that is in memory for all.
pub struct Shared;

/// What is taken, by all and by each.
#[derive(Default)]
struct Taken {
    all: usize,
    by: HashMap<Subject, usize>,
}

/// The budget of a process.
#[derive(Clone, Default)]
pub struct Budget(Arc<Mutex<Taken>>);

/// A part of the budget, given back when it is dropped.
pub struct Reservation {
    budget: Budget,
    bytes: usize,
    /// In whose shares it counts.
    whose: Vec<Subject>,
}

impl Reservation {
    /// Takes so many bytes more, if there is room.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let mut taken = self.budget.lock();
        let of = |one: &Subject| taken.by.get(one).copied().unwrap_or_default();
        if taken.all + bytes > MOST || self.whose.iter().any(|one| of(one) + bytes > SHARE) {
            return Err(Error::Overloaded(RETRY_AFTER).into());
        }
        taken.all += bytes;
        for one in &self.whose {
            *taken.by.entry(one.clone()).or_default() += bytes;
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut taken = self.budget.lock();
        taken.all -= self.bytes;
        for one in self.whose.drain(..) {
            if let Entry::Occupied(mut share) = taken.by.entry(one) {
                *share.get_mut() -= self.bytes;
                if *share.get() == 0 {
                    share.remove();
                }
            }
        }
    }
}

impl Budget {
    /// Takes so many bytes, if there is room, in the shares of these.
    pub fn take(&self, whose: Vec<Subject>, bytes: usize) -> Result<Reservation, Problem> {
        let mut part = Reservation {
            budget: self.clone(),
            bytes: 0,
            whose,
        };
        part.grow(bytes)?;
        Ok(part)
    }

    /// How many bytes are taken.
    pub fn taken(&self) -> usize {
        self.lock().all
    }

    /// The body of an answer to one of these as it should be written.
    pub fn throttle(&self, body: BoxBody, whose: Vec<Subject>) -> Result<BoxBody, Problem> {
        paced(body, |bytes| self.take(whose, bytes).map(Some))
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of an answer that is in memory for all, as it should be written.
pub fn throttle_shared(body: BoxBody) -> Result<BoxBody, Problem> {
    paced(body, |_| Ok(None))
}

fn paced(
    body: BoxBody,
    part: impl FnOnce(usize) -> Result<Option<Reservation>, Problem>,
) -> Result<BoxBody, Problem> {
    match body.try_into_bytes() {
        Ok(bytes) => Ok(BoxBody::new(Paced {
            part: part(bytes.len())?,
            bytes,
            until: None,
        })),
        Err(stream) => Ok(stream),
    }
}

/// Whether a body is one to throttle.
pub fn is_large(body: &BoxBody) -> bool {
    match body.size() {
        BodySize::Sized(size) => size > UNMETERED_BYTES as u64,
        BodySize::None | BodySize::Stream => false,
    }
}

/// An answer that is being written.
struct Paced {
    bytes: Bytes,
    #[expect(dead_code, reason = "held, and given back with the last byte")]
    part: Option<Reservation>,
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
    use super::{Budget, Paced, SHARE, SLICE, throttle_shared};
    use crate::model::ids::UserId;
    use crate::model::rate_limit::Subject;
    use actix_web::body::{BoxBody, MessageBody};
    use actix_web::web::Bytes;
    use futures_util::future::poll_fn;
    use std::pin::Pin;
    use std::time::{Duration, Instant};
    use uuid::Uuid;

    #[tokio::test]
    async fn an_answer_is_written_in_slices_until_its_time_is_up() {
        let budget = Budget::default();
        let paced = |until| Paced {
            bytes: Bytes::from(vec![7; 2 * SLICE + 1]),
            part: Some(budget.take(Vec::new(), 2 * SLICE + 1).unwrap()),
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

    fn user(n: u128) -> Subject {
        Subject::User(UserId(Uuid::from_u128(n)))
    }

    #[test]
    fn what_finds_no_room_is_refused() {
        let budget = Budget::default();
        let shares: Vec<_> = (0..16)
            .map(|n| budget.take(vec![user(n)], SHARE).unwrap())
            .collect();
        assert!(budget.take(vec![user(16)], 1).is_err());
        let body = || BoxBody::new(vec![0; 100_000]);
        assert!(budget.throttle(body(), vec![user(16)]).is_err());
        // What is there for all takes nothing.
        assert!(throttle_shared(body()).is_ok());
        drop(shares);
        assert!(budget.throttle(body(), vec![user(16)]).is_ok());
        assert_eq!(budget.taken(), 0);
    }

    #[test]
    fn nobody_takes_more_than_a_share() {
        let budget = Budget::default();
        let address = Subject::address("192.0.2.1".parse().unwrap());
        let mut part = budget
            .take(vec![address.clone(), user(1)], SHARE - 1)
            .unwrap();
        assert!(part.grow(2).is_err());
        part.grow(1).unwrap();
        assert!(budget.take(vec![user(1)], 1).is_err());
        assert!(budget.take(vec![address.clone(), user(2)], 1).is_err());
        assert!(budget.take(vec![user(2)], SHARE).is_ok());
        drop(part);
        assert!(budget.take(vec![address, user(1)], SHARE).is_ok());
        assert_eq!(budget.taken(), 0);
        assert!(budget.lock().by.is_empty());
    }
}
