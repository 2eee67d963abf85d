//! Notices between nodes: a channel for each waiting user, published to by `unread_apply.lua`. Never the truth: what is
//! lost here the sweep finds.

use crate::model::ids::{Epoch, InboxSeq, UserId};
use crate::storage::redis::{Redis, RedisUnavailable};
use redis::aio::ConnectionManagerConfig;
use redis::{FromRedisValue, PushInfo, PushKind};
use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// What a subscriber hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A user's inbox has reached `seq`; the total as of it, where it is known.
    News {
        /// Whose inbox.
        user: UserId,
        /// Its head.
        seq: InboxSeq,
        /// The unread total as of the head.
        total: Option<i64>,
    },
    /// The connection was lost, and what was published meanwhile with it.
    Lost,
}

/// The channel of a user. The braces keep everything of a user in one slot of a cluster.
pub(super) fn channel(epoch: Epoch, user: UserId) -> String {
    format!("tl:{epoch}:notice:{{{user}}}")
}

/// The subscriptions of this node, on a connection of their own.
pub struct Notices {
    redis: Redis,
    epoch: Epoch,
    subscribed: Mutex<HashSet<UserId>>,
}

impl Notices {
    /// Prepares a connection that subscribes again by itself after a loss. `hear` is called on its task: it must be quick.
    pub fn connect(
        url: &str,
        epoch: Epoch,
        hear: impl Fn(Heard) + Send + Sync + 'static,
    ) -> Result<Self, RedisUnavailable> {
        let separator = if url.contains('?') { '&' } else { '?' };
        let config = ConnectionManagerConfig::new()
            .set_automatic_resubscription()
            // Without end: with fewer it would wait for our next command, and be deaf until then.
            .set_number_of_retries(usize::MAX)
            .set_push_sender(move |push: PushInfo| {
                if let Some(heard) = parse(push) {
                    hear(heard);
                }
                Ok::<_, Infallible>(())
            });
        Ok(Self {
            redis: Redis::connect_with(&format!("{url}{separator}protocol=resp3"), config)?,
            epoch,
            subscribed: Mutex::default(),
        })
    }

    /// Subscribes to the notices of a user, and returns when Redis has acknowledged it.
    pub async fn subscribe(&self, user: UserId) -> Result<(), RedisUnavailable> {
        self.subscribed().insert(user);
        let channel = channel(self.epoch, user);
        self.redis
            .run(async |mut manager| manager.subscribe(channel).await)
            .await
    }

    /// Ends subscriptions.
    pub async fn unsubscribe(&self, users: &[UserId]) -> Result<(), RedisUnavailable> {
        {
            let mut subscribed = self.subscribed();
            for user in users {
                subscribed.remove(user);
            }
        }
        let channels: Vec<_> = users
            .iter()
            .map(|user| channel(self.epoch, *user))
            .collect();
        self.redis
            .run(async |mut manager| manager.unsubscribe(channels).await)
            .await
    }

    /// The users whose notices are subscribed to.
    pub fn users(&self) -> Vec<UserId> {
        self.subscribed().iter().copied().collect()
    }

    /// Whether Redis answers on this connection.
    pub async fn ping(&self) -> bool {
        self.redis.ping().await
    }

    fn subscribed(&self) -> MutexGuard<'_, HashSet<UserId>> {
        self.subscribed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message is `seq` or `seq:total` on the channel of a user.
fn parse(push: PushInfo) -> Option<Heard> {
    match push.kind {
        PushKind::Disconnection => Some(Heard::Lost),
        PushKind::Message => {
            let mut data = push.data.into_iter().map(String::from_redis_value);
            let (channel, text) = (data.next()?.ok()?, data.next()?.ok()?);
            let (_, user) = channel.trim_end_matches('}').rsplit_once('{')?;
            let (seq, total) = match text.split_once(':') {
                Some((seq, total)) => (seq, Some(total.parse().ok()?)),
                None => (text.as_str(), None),
            };
            Some(Heard::News {
                user: UserId(Uuid::try_parse(user).ok()?),
                seq: InboxSeq(seq.parse().ok()?),
                total,
            })
        }
        _ => None,
    }
}
