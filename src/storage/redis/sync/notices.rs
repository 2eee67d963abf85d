//! Notices between nodes: a sharded channel for each waiting user, published to by `unread_apply.lua`, and one for each watched
//! conversation. Never the truth: what is lost here the sweep finds.
//!
//! A subscription stands when the server has said so, and until its connection is lost or the server ends it, since the slot
//! went elsewhere. What does not stand is missing, and `tasks/notices.rs` keeps asking for it. The server's pushes alone say
//! which is which: one that nobody asked for looks to the library like the answer to whatever was asked last.

use crate::model::ids::{ConvSeq, ConversationId, Epoch, InboxSeq, UserId};
use crate::storage::redis::client::Redis;
use crate::storage::redis::transport::server::RedisUnavailable;
use crate::storage::redis::transport::server::{ConnectionId, RESPONSE_TIMEOUT, Servers};
use crate::storage::redis::transport::slots::Slots;
use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, ProtocolVersion, PushInfo, PushKind, RedisError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::oneshot;
use uuid::Uuid;

/// How many subscriptions are asked for in one go.
const CHUNK: usize = 500;

/// What a subscriber hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A user's inbox has reached `seq`; the total as of it, where it is known.
    Inbox {
        /// Whose inbox.
        user: UserId,
        /// Its head.
        seq: InboxSeq,
        /// The unread total as of the head.
        total: Option<i64>,
    },
    /// A large conversation has reached `seq`.
    Conversation {
        /// Which.
        conversation: ConversationId,
        /// Its head.
        seq: ConvSeq,
    },
    /// What is published of a user from now on is heard; what was before may not have been.
    Subscribed(UserId),
    /// Subscriptions are missing, and what is published meanwhile is lost.
    Gap,
}

/// What there are notices of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The inbox of a user.
    Inbox(UserId),
    /// A large conversation, which is watched.
    Watch(ConversationId),
}

impl Channel {
    /// Its name in Redis. The braces keep everything of a user in one slot of a cluster.
    pub(in crate::storage::redis) fn name(self, epoch: Epoch) -> String {
        match self {
            Self::Inbox(user) => format!("tl:{epoch}:notice:{{{user}}}"),
            Self::Watch(conversation) => format!("tl:{epoch}:watch:{{{conversation}}}"),
        }
    }

    fn parse(name: &str) -> Option<Self> {
        let (kind, id) = name.strip_suffix('}')?.rsplit_once('{')?;
        let id = Uuid::try_parse(id).ok()?;
        Some(match kind.ends_with(":watch:") {
            true => Self::Watch(ConversationId(id)),
            false => Self::Inbox(UserId(id)),
        })
    }
}

enum Subscription {
    /// Asked for, or to be asked for again; with those who wait until it stands.
    Missing(Vec<oneshot::Sender<()>>),
    /// By this connection.
    Active(ConnectionId),
}

impl Subscription {
    /// Makes it a missing one if it stands where it is ended, and says so.
    fn end(&mut self, is_ended: impl FnOnce(&ConnectionId) -> bool) -> bool {
        let ended = matches!(self, Self::Active(by) if is_ended(by));
        if ended {
            *self = Self::Missing(Vec::new());
        }
        ended
    }
}

/// What the connections' tasks share with us.
struct SubscriptionTable {
    subscriptions: Mutex<HashMap<Channel, Subscription>>,
    on_signal: Box<dyn Fn(Signal) + Send + Sync>,
}

/// The subscriptions of this node, on connections of their own.
pub struct Notices {
    redis: Arc<Redis>,
    servers: Servers,
    epoch: Epoch,
    table: Arc<SubscriptionTable>,
    /// Where the slots were when the subscriptions were last compared with that.
    followed: Mutex<Arc<Slots>>,
}

impl Notices {
    /// Prepares for subscriptions. `on_signal` is called on the tasks of the connections: it must be quick.
    pub fn new(
        redis: &Arc<Redis>,
        epoch: Epoch,
        on_signal: impl Fn(Signal) + Send + Sync + 'static,
    ) -> Self {
        let table = Arc::new(SubscriptionTable {
            subscriptions: Mutex::default(),
            on_signal: Box::new(on_signal),
        });
        let settings = redis.template.redis_settings().clone();
        let settings = settings.set_protocol(ProtocolVersion::RESP3);
        let template = redis.template.clone().set_redis_settings(settings);
        let shared = Arc::clone(&table);
        let on_push = move |from: &ConnectionId, push| shared.push(from, push);
        let servers = Servers::new(template, Some(Arc::new(on_push)));
        Self {
            redis: Arc::clone(redis),
            servers,
            epoch,
            table,
            followed: Mutex::new(redis.slots()),
        }
    }

    /// Subscribes to channels, and returns when Redis has acknowledged them. Otherwise they stay missing, until they are
    /// renewed.
    pub async fn subscribe(&self, channels: &[Channel]) -> Result<(), RedisUnavailable> {
        let mut channels = channels.to_vec();
        {
            let subscriptions = self.table.subscriptions();
            let stands =
                |one: &Channel| matches!(subscriptions.get(one), Some(Subscription::Active(_)));
            channels.retain(|one| !stands(one));
        }
        if channels.is_empty() {
            return Ok(());
        }
        self.request(&channels).await
    }

    /// Marks channels as missing that are not subscribed to.
    pub fn mark_missing(&self, channels: &[Channel]) {
        self.table.await_active(channels);
        (self.table.on_signal)(Signal::Gap);
    }

    /// Ends subscriptions. What Redis does not get to know of ends with the connection.
    pub async fn unsubscribe(&self, channels: &[Channel]) {
        for channel in channels {
            self.table.subscriptions().remove(channel);
        }
        self.send("SUNSUBSCRIBE", channels).await;
    }

    /// The channels that are subscribed to, or should be.
    pub fn channels(&self) -> Vec<Channel> {
        self.table.subscriptions().keys().copied().collect()
    }

    /// Those that should be.
    pub fn missing(&self) -> Vec<Channel> {
        let subscriptions = self.table.subscriptions();
        let missing = subscriptions.iter().filter_map(|(channel, one)| {
            matches!(one, Subscription::Missing(_)).then_some(*channel)
        });
        missing.collect()
    }

    /// Asks for what is missing, and returns whether any of it stands now.
    pub async fn renew(&self) -> bool {
        let mut any = false;
        for channels in self.missing().chunks(CHUNK) {
            let _some = self.request(channels).await;
            let subscriptions = self.table.subscriptions();
            let stands =
                |channel| matches!(subscriptions.get(channel), Some(Subscription::Active(_)));
            // Nobody answers, and the others would not get further.
            if !channels.iter().any(stands) {
                break;
            }
            any = true;
        }
        any
    }

    /// Looks whether slots of a cluster have gone elsewhere without a word, as when their master was cut off: subscriptions
    /// there are missing.
    pub async fn follow(&self) {
        self.redis.refresh_topology(Instant::now(), None).await;
        let slots = self.redis.slots();
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&followed, &slots) {
            return;
        }
        self.servers
            .retain(|address| slots.servers().any(|one| one == address));
        self.table
            .mark_lost(|channel, by| slots.of(&channel.name(self.epoch)) != Some(&by.server));
        *followed = slots;
    }

    /// Subscribes, and returns when all of it stands.
    async fn request(&self, channels: &[Channel]) -> Result<(), RedisUnavailable> {
        let mut acknowledgements = self.table.await_active(channels);
        let (mut result, mut standing) = (Ok(()), Vec::new());
        for (channels, sent) in self.send("SSUBSCRIBE", channels).await {
            match sent {
                Ok(()) => standing.extend(
                    channels
                        .iter()
                        .filter_map(|one| acknowledgements.remove(one)),
                ),
                Err(error) => result = Err(error),
            }
        }
        if let Err(elapsed) = tokio::time::timeout(RESPONSE_TIMEOUT, join_all(standing)).await {
            result = Err(RedisError::from(std::io::Error::other(elapsed)).into());
        }
        if result.is_err() {
            (self.table.on_signal)(Signal::Gap);
        }
        result
    }

    /// Sends a command for each channel, and says for which of them it was answered.
    async fn send(
        &self,
        command: &str,
        channels: &[Channel],
    ) -> Vec<(Vec<Channel>, Result<(), RedisUnavailable>)> {
        let named = channels.iter().map(|one| (*one, one.name(self.epoch)));
        let named: Vec<_> = named.collect();
        let run = async |mut connection: MultiplexedConnection, named: Vec<&(Channel, String)>| {
            let mut pipe = redis::pipe();
            for (_, name) in named {
                pipe.cmd(command).arg(name).ignore();
            }
            pipe.exec_async(&mut connection).await
        };
        let items = named.iter().collect();
        let sent = self
            .redis
            .scatter(&self.servers, items, |(_, name)| name, run)
            .await;
        sent.into_iter()
            .map(|(named, result)| (named.into_iter().map(|(one, _)| *one).collect(), result))
            .collect()
    }
}

impl SubscriptionTable {
    fn subscriptions(&self) -> MutexGuard<'_, HashMap<Channel, Subscription>> {
        self.subscriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of each channel that is missing when it stands.
    fn await_active(&self, channels: &[Channel]) -> HashMap<Channel, oneshot::Receiver<()>> {
        let mut acknowledgements = HashMap::new();
        let mut subscriptions = self.subscriptions();
        for channel in channels {
            let missing = || Subscription::Missing(Vec::new());
            let one = subscriptions.entry(*channel).or_insert_with(missing);
            if let Subscription::Missing(waiting) = one {
                let (stands, standing) = oneshot::channel();
                waiting.retain(|one| !one.is_closed());
                waiting.push(stands);
                acknowledgements.insert(*channel, standing);
            }
        }
        acknowledgements
    }

    /// Takes in what a server has pushed, or that its connection is lost.
    fn push(&self, from: &ConnectionId, push: PushInfo) {
        let mut data = push.data.into_iter().map(String::from_redis_value);
        let mut text = || data.next()?.ok();
        match push.kind {
            PushKind::Disconnection => self.mark_lost(|_, by| by == from),
            PushKind::SMessage => {
                if let Some(signal) = text()
                    .zip(text())
                    .and_then(|(name, text)| parse_signal(&name, &text))
                {
                    (self.on_signal)(signal);
                }
            }
            PushKind::SSubscribe => {
                let channel = text().and_then(|name| Channel::parse(&name));
                // Before anybody can see that it stands.
                if let Some(Channel::Inbox(user)) = channel {
                    (self.on_signal)(Signal::Subscribed(user));
                }
                let mut subscriptions = self.subscriptions();
                if let Some(one) = channel.and_then(|one| subscriptions.get_mut(&one)) {
                    let before = std::mem::replace(one, Subscription::Active(from.clone()));
                    if let Subscription::Missing(waiting) = before {
                        for one in waiting {
                            // Who gave up waiting needs no telling.
                            let _gone = one.send(());
                        }
                    }
                }
            }
            PushKind::SUnsubscribe => {
                let channel = text().and_then(|name| Channel::parse(&name));
                let mut subscriptions = self.subscriptions();
                let one = channel.and_then(|one| subscriptions.get_mut(&one));
                let ended = one.is_some_and(|one| one.end(|by| by == from));
                drop(subscriptions);
                if ended {
                    (self.on_signal)(Signal::Gap);
                }
            }
            _ => {}
        }
    }

    /// Marks as missing what does not stand any more.
    fn mark_lost(&self, is_lost: impl Fn(Channel, &ConnectionId) -> bool) {
        let mut any = false;
        for (channel, one) in self.subscriptions().iter_mut() {
            any |= one.end(|by| is_lost(*channel, by));
        }
        if any {
            (self.on_signal)(Signal::Gap);
        }
    }
}

/// Tells other nodes of the heads of large conversations: one command each, however many members there are. What Redis is
/// not told of the sweeps find.
pub async fn publish(redis: &Redis, epoch: Epoch, moved: &HashMap<ConversationId, ConvSeq>) {
    let named = moved
        .iter()
        .map(|(id, seq)| (Channel::Watch(*id).name(epoch), seq.0));
    let named: Vec<_> = named.collect();
    let run = async |mut connection: MultiplexedConnection, named: Vec<&(String, i64)>| {
        let mut pipe = redis::pipe();
        for (name, seq) in named {
            pipe.cmd("SPUBLISH").arg(name).arg(seq).ignore();
        }
        pipe.exec_async(&mut connection).await
    };
    let items = named.iter().collect();
    redis
        .scatter(&redis.servers, items, |(name, _)| name, run)
        .await;
}

/// A message is `seq` or `seq:total` on the channel of a user, and `seq` on that of a conversation.
fn parse_signal(name: &str, text: &str) -> Option<Signal> {
    let user = match Channel::parse(name)? {
        Channel::Inbox(user) => user,
        Channel::Watch(conversation) => {
            let seq = ConvSeq(text.parse().ok()?);
            return Some(Signal::Conversation { conversation, seq });
        }
    };
    let (seq, total) = match text.split_once(':') {
        Some((seq, total)) => (seq, Some(total.parse().ok()?)),
        None => (text, None),
    };
    Some(Signal::Inbox {
        user,
        seq: InboxSeq(seq.parse().ok()?),
        total,
    })
}
