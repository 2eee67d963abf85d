//! Rate limits: a bucket for each user, for each address without a good token, and for each name that somebody tries to
//! log in with.
//!
//! All nodes share the buckets through Redis. But a user who does little need not cost a look into Redis with each
//! request: a tenth of every limit is this node's own to give. Only who takes more is counted in Redis. So `n` nodes
//! together give at most `1 + n / 10` of the limit, whichever way somebody spreads the requests. Each node counts
//! everything that it gives besides: who is over the limit here is refused without asking, and while Redis is away each
//! node keeps the limit alone. A request takes from the node's bucket before Redis is asked, and what Redis refuses is put
//! back: of many requests that wait for a Redis that does not answer, no more go on than the bucket has room for.

use crate::config::RateLimit;
use crate::engine::error::Error;
use crate::model::ids::Epoch;
use crate::model::rate_limit::{Policy, QuotaStatus, Subject};
use crate::storage::redis::admission::rate_limits as shared;
use crate::storage::redis::client::Redis;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The part of a limit that a node gives without asking.
const LOCAL_SHARE: u32 = 10;

/// Buckets that are empty are forgotten whenever there are so many more than before.
const FORGET: usize = 10_000;

/// How many log-ins under one name: ten, and then one every six seconds. More is guessing.
const LOGIN: Policy = Policy {
    name: "login",
    interval: Duration::from_secs(6),
    burst: 10,
};

/// The rate limits, with the buckets of this node.
pub struct RateLimits {
    /// Nothing when no limits are set.
    limit: Option<RateLimit>,
    redis: Arc<Redis>,
    epoch: Epoch,
    buckets: Mutex<Buckets>,
}

#[derive(Default)]
struct Buckets {
    by_subject: HashMap<Subject, Bucket>,
    forget_at: usize,
}

/// When each will be empty.
#[derive(Clone, Copy)]
struct Bucket {
    /// Everything that this node gave, and what it knows of the others.
    all: Instant,
    /// What it gave without asking.
    own: Instant,
}

enum Asked {
    Refused(Duration),
    Given,
    /// Taken here, but all nodes together have the last word.
    Share,
}

impl RateLimits {
    /// Full buckets for everybody.
    pub fn new(limit: Option<RateLimit>, redis: Arc<Redis>, epoch: Epoch) -> Self {
        Self {
            limit,
            redis,
            epoch,
            buckets: Mutex::default(),
        }
    }

    /// Takes from the bucket of this node, if there is room. Returns when it will be empty, too.
    fn ask(&self, subject: &Subject, policy: Policy, cost: u32, now: Instant) -> (Asked, Instant) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.by_subject.len() > buckets.forget_at {
            buckets.by_subject.retain(|_, bucket| bucket.all > now);
            buckets.forget_at = buckets.by_subject.len() + FORGET;
        }
        let bucket = buckets
            .by_subject
            .entry(subject.clone())
            .or_insert(Bucket { all: now, own: now });
        let time = policy.interval * cost;
        let all = bucket.all.max(now) + time;
        let own = bucket.own.max(now) + time * LOCAL_SHARE;
        if all > now + policy.window() {
            return (Asked::Refused(all - now - policy.window()), bucket.all);
        }
        // The own part is a bucket of a tenth of the size that flows off at a tenth of the speed.
        bucket.all = all;
        if own > now + policy.window() {
            return (Asked::Share, all);
        }
        bucket.own = own;
        (Asked::Given, all)
    }

    /// Notes when a bucket will be empty, as all nodes together know, after putting back what was taken for so long.
    fn note(&self, subject: &Subject, put_back: Duration, empty: Instant) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.by_subject.get_mut(subject) {
            let all = bucket.all.checked_sub(put_back).unwrap_or(empty);
            bucket.all = all.max(empty);
        }
    }

    /// Takes `cost` from a bucket, whose size it does not exceed. The standing says whether there was room.
    async fn take(&self, subject: &Subject, policy: Policy, cost: u32) -> QuotaStatus {
        let now = Instant::now();
        let (asked, mut empty) = self.ask(subject, policy, cost, now);
        let retry_after = match asked {
            Asked::Refused(after) => Some(after),
            Asked::Given => None,
            Asked::Share => {
                match shared::take(&self.redis, self.epoch, subject, policy, cost).await {
                    Ok(taken) => {
                        let shared = now + taken.empty_after;
                        let (put_back, known) = match taken.allowed {
                            true => (Duration::ZERO, empty.max(shared)),
                            false => (policy.interval * cost, shared),
                        };
                        empty = known;
                        self.note(subject, put_back, shared);
                        (!taken.allowed).then_some(taken.retry_after)
                    }
                    // The circuit breaker has logged it; it was taken here, and this node keeps the limit alone.
                    Err(_away) => None,
                }
            }
        };
        let reset_after = empty.saturating_duration_since(now);
        let free = policy.window().saturating_sub(reset_after);
        let remaining = free.as_nanos() / policy.interval.as_nanos().max(1);
        QuotaStatus {
            policy,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset_after,
            retry_after,
        }
    }

    /// Counts a request of a subject, where limits are set. Returns where it stands, or that it has to wait.
    pub async fn charge(&self, subject: &Subject) -> Result<Option<QuotaStatus>, Error> {
        self.count(subject, |_| 1).await
    }

    /// Counts what a request causes, besides the one that it was counted as: one that is larger than the bucket needs
    /// the whole bucket.
    pub async fn charge_more(
        &self,
        subject: &Subject,
        more: u32,
    ) -> Result<Option<QuotaStatus>, Error> {
        let rest = |policy: Policy| more.min(policy.burst.saturating_sub(1));
        self.count(subject, rest).await
    }

    async fn count(
        &self,
        subject: &Subject,
        cost: impl Fn(Policy) -> u32,
    ) -> Result<Option<QuotaStatus>, Error> {
        let Some(limit) = self.limit else {
            return Ok(None);
        };
        let policy = match subject {
            Subject::User(_) => Policy::per_second("user", limit.per_second, limit.burst),
            Subject::Address(_) => Policy::per_second("address", limit.per_second, limit.burst),
            Subject::Login(_) => LOGIN,
        };
        let standing = self.take(subject, policy, cost(policy)).await;
        if standing.retry_after.is_some() {
            Err(Error::RateLimited(standing))
        } else {
            Ok(Some(standing))
        }
    }
}
