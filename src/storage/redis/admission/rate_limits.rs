//! The rate limits that all nodes share.

use crate::model::ids::Epoch;
use crate::model::rate_limit::{Policy, Subject};
use crate::storage::redis::client::Redis;
use crate::storage::redis::transport::server::RedisUnavailable;
use redis::Script;
use std::sync::LazyLock;
use std::time::Duration;

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("limit.lua")));

/// The result of taking from a limit.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// The cost was taken. Otherwise nothing was.
    pub allowed: bool,
    /// The time until the cost can be taken.
    pub retry_after: Duration,
    /// The time until the whole burst is available again.
    pub empty_after: Duration,
}

/// Takes `cost` from the limit of a subject.
pub async fn take(
    redis: &Redis,
    epoch: Epoch,
    subject: &Subject,
    policy: Policy,
    cost: u32,
) -> Result<Taken, RedisUnavailable> {
    let key = format!("tl:{epoch}:limit:{}:{{{subject}}}", policy.name);
    let mut call = TAKE.key(&key);
    call.arg(u64::try_from(policy.interval.as_micros()).unwrap_or(u64::MAX))
        .arg(policy.burst)
        .arg(cost);
    let (allowed, retry, empty): (bool, u64, u64) = redis
        .run(&key, async |mut connection| {
            call.invoke_async(&mut connection).await
        })
        .await?;
    Ok(Taken {
        allowed,
        retry_after: Duration::from_micros(retry),
        empty_after: Duration::from_micros(empty),
    })
}
