//! Signals between nodes: a sharded channel for each waiting user, to which `unread_apply.lua` publishes, and one for each watched
//! conversation, and one for each node. A signal may be lost; the sweep finds its news.
//!
//! A subscription is active from the server's push that confirms it until its connection is lost or the server ends it, because
//! the slot moved. A wanted subscription that is not active is missing, and `tasks/notices.rs` retries it. Only pushes are
//! trusted: redis 1.8 takes a push that was not requested for the reply to the last command (docs/UPSTREAM.md).

use crate::model::ids::{ChangeSeq, ConvSeq, ConversationId, Epoch, InboxSeq, UserId};
use crate::model::moved::{Moved, MovedChange};
use crate::model::people::presence::{DeviceChange, NodeId};
use crate::storage::redis::client::Redis;
use crate::storage::redis::sync::channel::Channel;
use crate::storage::redis::sync::devices::parse_message;
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

/// How many missing subscriptions one command requests.
const CHUNK: usize = 500;

/// A signal to a subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A user's inbox has reached `seq`.
    Inbox {
        /// The user.
        user: UserId,
        /// The head of the inbox.
        seq: InboxSeq,
        /// The unread total as of the head, if known.
        total: Option<i64>,
    },
    /// A conversation has new heads.
    Conversation {
        /// The conversation.
        conversation: ConversationId,
        /// Its heads.
        heads: Moved,
    },
    /// Read positions of a conversation's members have moved.
    Reads {
        /// The conversation.
        conversation: ConversationId,
        /// The member, if it is only one.
        reader: Option<UserId>,
    },
    /// A member types, or no longer does.
    Typing {
        /// The conversation.
        conversation: ConversationId,
        /// The member.
        user: UserId,
        /// The member types.
        is_typing: bool,
    },
    /// A node has published changes of its devices; none if they cannot be read.
    Devices {
        /// The node.
        node: NodeId,
        /// The version of its devices, and the changes.
        changes: Option<(u64, Vec<DeviceChange>)>,
    },
    /// A channel is subscribed from now on. Earlier signals may have been lost.
    Subscribed(Channel),
    /// Subscriptions are missing: their signals are lost meanwhile.
    Gap,
}

enum Subscription {
    /// Requested, or to be requested again; with the waiters for its confirmation.
    Missing(Vec<oneshot::Sender<()>>),
    /// Confirmed on this connection.
    Active(ConnectionId),
}

impl Subscription {
    /// Marks it as missing if it is active on an ended connection. Returns whether it was.
    fn end(&mut self, is_ended: impl FnOnce(&ConnectionId) -> bool) -> bool {
        let ended = matches!(self, Self::Active(by) if is_ended(by));
        if ended {
            *self = Self::Missing(Vec::new());
        }
        ended
    }
}

/// The subscriptions, shared with the tasks of the connections.
struct SubscriptionTable {
    subscriptions: Mutex<HashMap<Channel, Subscription>>,
    on_signal: Box<dyn Fn(Signal) + Send + Sync>,
}

/// The subscriptions of this node, on their own connections.
pub struct Notices {
    redis: Arc<Redis>,
    servers: Servers,
    epoch: Epoch,
    table: Arc<SubscriptionTable>,
    /// The topology with which the subscriptions were last compared.
    followed: Mutex<Arc<Slots>>,
}

impl Notices {
    /// A node without subscriptions. `on_signal` runs on the tasks of the connections, so it must be quick.
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

    /// Subscribes to channels, and returns when Redis has confirmed them. After an error they stay missing until a renewal.
    pub async fn subscribe(&self, channels: &[Channel]) -> Result<(), RedisUnavailable> {
        let mut channels = channels.to_vec();
        {
            let subscriptions = self.table.subscriptions();
            let is_active =
                |one: &Channel| matches!(subscriptions.get(one), Some(Subscription::Active(_)));
            channels.retain(|one| !is_active(one));
        }
        if channels.is_empty() {
            return Ok(());
        }
        self.request(&channels).await
    }

    /// Whether the signals of a channel arrive.
    pub fn is_active(&self, channel: Channel) -> bool {
        let subscriptions = self.table.subscriptions();
        matches!(subscriptions.get(&channel), Some(Subscription::Active(_)))
    }

    /// Marks channels as missing, unless they are active.
    pub fn mark_missing(&self, channels: &[Channel]) {
        self.table.await_active(channels);
        (self.table.on_signal)(Signal::Gap);
    }

    /// Ends subscriptions. If the command fails, they end with the connection.
    pub async fn unsubscribe(&self, channels: &[Channel]) {
        for channel in channels {
            self.table.subscriptions().remove(channel);
        }
        self.send("SUNSUBSCRIBE", channels).await;
    }

    /// The channels whose subscription is active or missing.
    pub fn channels(&self) -> Vec<Channel> {
        self.table.subscriptions().keys().copied().collect()
    }

    /// The channels whose subscription is missing.
    pub fn missing(&self) -> Vec<Channel> {
        let subscriptions = self.table.subscriptions();
        let missing = subscriptions.iter().filter_map(|(channel, one)| {
            matches!(one, Subscription::Missing(_)).then_some(*channel)
        });
        missing.collect()
    }

    /// Requests the missing subscriptions again. Returns whether any is active now.
    pub async fn renew(&self) -> bool {
        let mut any = false;
        for channels in self.missing().chunks(CHUNK) {
            let _some = self.request(channels).await;
            let subscriptions = self.table.subscriptions();
            let is_active =
                |channel| matches!(subscriptions.get(channel), Some(Subscription::Active(_)));
            // No server answers: the next chunk would fail too.
            if !channels.iter().any(is_active) {
                break;
            }
            any = true;
        }
        any
    }

    /// Marks subscriptions as missing whose slot has moved without a push, as when its master was cut off.
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

    /// Subscribes, and returns when all channels are active.
    async fn request(&self, channels: &[Channel]) -> Result<(), RedisUnavailable> {
        let mut receivers = self.table.await_active(channels);
        let (mut result, mut confirmations) = (Ok(()), Vec::new());
        for (channels, sent) in self.send("SSUBSCRIBE", channels).await {
            match sent {
                Ok(()) => {
                    confirmations.extend(channels.iter().filter_map(|one| receivers.remove(one)))
                }
                Err(error) => result = Err(error),
            }
        }
        if let Err(elapsed) = tokio::time::timeout(RESPONSE_TIMEOUT, join_all(confirmations)).await
        {
            result = Err(RedisError::from(std::io::Error::other(elapsed)).into());
        }
        if result.is_err() {
            (self.table.on_signal)(Signal::Gap);
        }
        result
    }

    /// Sends a command for each channel. Each result is for a part of the channels.
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

    /// Marks channels as missing, unless they are active. Returns a receiver for the confirmation of each missing one.
    fn await_active(&self, channels: &[Channel]) -> HashMap<Channel, oneshot::Receiver<()>> {
        let mut receivers = HashMap::new();
        let mut subscriptions = self.subscriptions();
        for channel in channels {
            let missing = || Subscription::Missing(Vec::new());
            let one = subscriptions.entry(*channel).or_insert_with(missing);
            if let Subscription::Missing(waiting) = one {
                let (confirm, confirmed) = oneshot::channel();
                waiting.retain(|one| !one.is_closed());
                waiting.push(confirm);
                receivers.insert(*channel, confirmed);
            }
        }
        receivers
    }

    /// Handles a push of a server, or the loss of its connection.
    fn push(&self, from: &ConnectionId, push: PushInfo) {
        let mut data = push.data.into_iter();
        let mut text = || String::from_redis_value(data.next()?).ok();
        match push.kind {
            PushKind::Disconnection => self.mark_lost(|_, by| by == from),
            PushKind::SMessage => {
                let channel = text().and_then(|name| Channel::parse(&name));
                let bytes = data.next().map(Vec::<u8>::from_redis_value);
                let bytes = bytes.and_then(Result::ok);
                if let Some(signal) = channel
                    .zip(bytes)
                    .and_then(|(channel, bytes)| parse_signal(channel, &bytes))
                {
                    (self.on_signal)(signal);
                }
            }
            PushKind::SSubscribe => {
                let channel = text().and_then(|name| Channel::parse(&name));
                // Before the subscription is visible as active.
                if let Some(channel) = channel {
                    (self.on_signal)(Signal::Subscribed(channel));
                }
                let mut subscriptions = self.subscriptions();
                if let Some(one) = channel.and_then(|one| subscriptions.get_mut(&one)) {
                    let before = std::mem::replace(one, Subscription::Active(from.clone()));
                    if let Subscription::Missing(waiting) = before {
                        for one in waiting {
                            // The waiter may have given up.
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

    /// Marks lost subscriptions as missing.
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

/// Publishes the heads of conversations to other nodes: one command per conversation, regardless of its members. The
/// sweeps find heads that Redis did not receive.
pub async fn publish(redis: &Redis, epoch: Epoch, moved: &HashMap<ConversationId, Moved>) {
    let texts = moved.iter().map(|(id, heads)| (*id, heads_text(*heads)));
    publish_texts(redis, epoch, texts).await;
}

/// Publishes that read positions of these conversations have moved; with the member, if it is only one.
pub async fn publish_reads(
    redis: &Redis,
    epoch: Epoch,
    moved: &[(ConversationId, Option<UserId>)],
) {
    let texts = moved.iter().map(|(id, reader)| (*id, reads_text(*reader)));
    publish_texts(redis, epoch, texts).await;
}

/// Publishes that a member types, or no longer does.
pub async fn publish_typing(
    redis: &Redis,
    epoch: Epoch,
    (conversation, user, is_typing): (ConversationId, UserId, bool),
) {
    let text = format!("t:{user}:{}", u8::from(is_typing));
    publish_texts(redis, epoch, [(conversation, text)].into_iter()).await;
}

async fn publish_texts(
    redis: &Redis,
    epoch: Epoch,
    texts: impl Iterator<Item = (ConversationId, String)>,
) {
    let named: Vec<_> = texts
        .map(|(id, text)| (Channel::Watch(id).name(epoch), text))
        .collect();
    let run = async |mut connection: MultiplexedConnection, named: Vec<&(String, String)>| {
        let mut pipe = redis::pipe();
        for (name, heads) in named {
            pipe.cmd("SPUBLISH").arg(name).arg(heads).ignore();
        }
        pipe.exec_async(&mut connection).await
    };
    let items = named.iter().collect();
    redis
        .scatter(&redis.servers, items, |(name, _)| name, run)
        .await;
}

/// The message on the channel of a conversation: `seq`, `seq:change` or, of an urgent change, `seq:change:now`.
fn heads_text(heads: Moved) -> String {
    match heads.change {
        None => heads.seq.to_string(),
        Some(change) if change.is_urgent => format!("{}:{}:now", heads.seq, change.seq),
        Some(change) => format!("{}:{}", heads.seq, change.seq),
    }
}

/// The message on the channel of a conversation for read positions: `read` or `read:user`.
fn reads_text(reader: Option<UserId>) -> String {
    reader.map_or_else(|| "read".to_owned(), |user| format!("read:{user}"))
}

fn parse_reads(text: &str) -> Option<Option<UserId>> {
    match text.strip_prefix("read")? {
        "" => Some(None),
        user => Some(Some(UserId(Uuid::try_parse(user.strip_prefix(':')?).ok()?))),
    }
}

/// Parses the message of `publish_typing`.
fn parse_typing(text: &str) -> Option<(UserId, bool)> {
    let (user, is_typing) = text.strip_prefix("t:")?.split_once(':')?;
    Some((UserId(Uuid::try_parse(user).ok()?), is_typing == "1"))
}

fn parse_heads(text: &str) -> Option<Moved> {
    let mut parts = text.split(':');
    let seq = ConvSeq(parts.next()?.parse().ok()?);
    let change = match parts.next() {
        None => None,
        Some(change) => Some(MovedChange {
            seq: ChangeSeq(change.parse().ok()?),
            is_urgent: parts.next() == Some("now"),
        }),
    };
    Some(Moved { seq, change })
}

/// Parses a message: `seq` or `seq:total` on the channel of a user, the text of `heads_text`, `reads_text` or `publish_typing`
/// on that of a conversation, and changes of devices on that of a node.
fn parse_signal(channel: Channel, bytes: &[u8]) -> Option<Signal> {
    if let Channel::Node(node) = channel {
        let changes = parse_message(bytes);
        return Some(Signal::Devices { node, changes });
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let user = match channel {
        Channel::Node(_) => return None,
        Channel::Inbox(user) => user,
        Channel::Watch(conversation) => {
            if let Some(reader) = parse_reads(text) {
                return Some(Signal::Reads {
                    conversation,
                    reader,
                });
            }
            if let Some((user, is_typing)) = parse_typing(text) {
                return Some(Signal::Typing {
                    conversation,
                    user,
                    is_typing,
                });
            }
            let heads = parse_heads(text)?;
            return Some(Signal::Conversation {
                conversation,
                heads,
            });
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
