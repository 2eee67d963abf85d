//! Rate limits: a bucket for each user, for each address without a valid token, for each name in login attempts, and for the
//! searches and the reads of presence of each user.
//!
//! All nodes share the buckets through Redis. To avoid a Redis call per request, each node may grant 10 % of a limit
//! locally. Only usage beyond that is checked in Redis. So `n` nodes together grant at most `1 + n / 10` of the limit,
//! however the requests are spread.
//!
//! Each node also counts every request that it grants. A subject over the limit on this node is refused without a call, and
//! without Redis each node enforces the limit alone. A request takes from the node's bucket before the call, and puts it
//! back if Redis refuses. So while Redis does not answer, no more requests pass than the bucket has room for.

use crate::config::RateLimit;
use crate::engine::error::Error;
use crate::model::ids::Epoch;
use crate::model::rate_limit::{Policy, QuotaStatus, Subject};
use crate::storage::redis::admission::rate_limits as shared;
use crate::storage::redis::client::Redis;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A node grants `1 / LOCAL_SHARE` of each limit without a call to Redis.
const LOCAL_SHARE: u32 = 10;

/// Empty buckets are evicted when the map has this number of entries more than the last eviction left.
const EVICTION_SLACK: usize = 10_000;

/// Login attempts under one name: ten, and then one every six seconds. More is password guessing.
const LOGIN: Policy = Policy {
    name: "login",
    interval: Duration::from_secs(6),
    burst: 10,
};

/// Searches of one user for others: thirty, and then one every two seconds. More is collecting names.
const SEARCH: Policy = Policy {
    name: "search",
    interval: Duration::from_secs(2),
    burst: 30,
};

/// Searches of one user for messages: twenty, and then five a second.
const MESSAGE_SEARCH: Policy = Policy {
    name: "message_search",
    interval: Duration::from_millis(200),
    burst: 20,
};

/// The people whose presence one user reads: 500, and then 100 a second.
const PRESENCE: Policy = Policy {
    name: "presence",
    interval: Duration::from_millis(10),
    burst: 500,
};

/// The mebibytes that one user uploads: 2,048, and then ten thousand an hour.
const UPLOAD: Policy = Policy {
    name: "media_upload",
    interval: Duration::from_millis(360),
    burst: 2_048,
};

/// The media that one user reads: 500, and then 100 a second. A page of a conversation may show a hundred pictures.
const DOWNLOAD: Policy = Policy {
    name: "media",
    interval: Duration::from_millis(10),
    burst: 500,
};

/// The rate limits, with the buckets of this node.
pub struct RateLimits {
    /// `None` if no limits are set.
    limit: Option<RateLimit>,
    redis: Arc<Redis>,
    epoch: Epoch,
    buckets: Mutex<Buckets>,
}

#[derive(Default)]
struct Buckets {
    by_subject: HashMap<Subject, Bucket>,
    evict_at: usize,
}

/// The times at which a subject's two buckets will be empty.
#[derive(Clone, Copy)]
struct Bucket {
    /// Everything that this node granted, and the part of other nodes that Redis has reported.
    all: Instant,
    /// The part that this node granted without a call to Redis.
    local: Instant,
}

enum LocalDecision {
    Refused(Duration),
    Granted,
    /// Taken from the bucket of this node, but Redis decides.
    CheckShared,
}

impl RateLimits {
    /// Starts with empty buckets: every subject has its whole burst.
    pub fn new(limit: Option<RateLimit>, redis: Arc<Redis>, epoch: Epoch) -> Self {
        Self {
            limit,
            redis,
            epoch,
            buckets: Mutex::default(),
        }
    }

    /// Takes from the bucket of this node, if there is room. Also returns when the bucket will be empty.
    fn take_local(
        &self,
        subject: &Subject,
        policy: Policy,
        cost: u32,
        now: Instant,
    ) -> (LocalDecision, Instant) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.by_subject.len() > buckets.evict_at {
            buckets.by_subject.retain(|_, bucket| bucket.all > now);
            buckets.evict_at = buckets.by_subject.len() + EVICTION_SLACK;
        }
        let bucket = buckets.by_subject.entry(subject.clone()).or_insert(Bucket {
            all: now,
            local: now,
        });
        let time = policy.interval * cost;
        let all = bucket.all.max(now) + time;
        let local = bucket.local.max(now) + time * LOCAL_SHARE;
        if all > now + policy.window() {
            return (
                LocalDecision::Refused(all - now - policy.window()),
                bucket.all,
            );
        }
        // The local part is a bucket of a tenth of the size that drains at a tenth of the rate.
        bucket.all = all;
        if local > now + policy.window() {
            return (LocalDecision::CheckShared, all);
        }
        bucket.local = local;
        (LocalDecision::Granted, all)
    }

    /// Puts the cost of a refused request back, then records when the shared bucket in Redis will be empty.
    fn record_shared(&self, subject: &Subject, put_back: Duration, empty: Instant) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.by_subject.get_mut(subject) {
            let all = bucket.all.checked_sub(put_back).unwrap_or(empty);
            bucket.all = all.max(empty);
        }
    }

    /// Takes `cost`, which must not exceed the burst, from a bucket. The status has `retry_after` if there was no room.
    async fn take(&self, subject: &Subject, policy: Policy, cost: u32) -> QuotaStatus {
        let now = Instant::now();
        let (decision, mut empty) = self.take_local(subject, policy, cost, now);
        let retry_after = match decision {
            LocalDecision::Refused(after) => Some(after),
            LocalDecision::Granted => None,
            LocalDecision::CheckShared => {
                match shared::take(&self.redis, self.epoch, subject, policy, cost).await {
                    Ok(taken) => {
                        let shared = now + taken.empty_after;
                        let (put_back, known) = match taken.allowed {
                            true => (Duration::ZERO, empty.max(shared)),
                            false => (policy.interval * cost, shared),
                        };
                        empty = known;
                        self.record_shared(subject, put_back, shared);
                        (!taken.allowed).then_some(taken.retry_after)
                    }
                    // The circuit breaker has logged it. The cost was taken here, so this node enforces the limit alone.
                    Err(_logged) => None,
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

    /// Counts a request of a subject, if limits are set. Returns the quota status, or the error for a used-up limit.
    pub async fn charge(&self, subject: &Subject) -> Result<Option<QuotaStatus>, Error> {
        self.count(subject, |_| 1).await
    }

    /// Counts the additional cost of a request that was counted as one. A cost larger than the bucket takes the whole
    /// bucket.
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
            Subject::Search(_) => SEARCH,
            Subject::MessageSearch(_) => MESSAGE_SEARCH,
            Subject::Presence(_) => PRESENCE,
            Subject::Upload(_) => UPLOAD,
            Subject::Download(_) => DOWNLOAD,
        };
        let status = self.take(subject, policy, cost(policy)).await;
        if status.retry_after.is_some() {
            Err(Error::RateLimited(status))
        } else {
            Ok(Some(status))
        }
    }
}
