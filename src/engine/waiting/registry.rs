//! The registered waits of this node. A wait is one small entry here and one sleeping future. It holds no thread and no
//! connection to PostgreSQL or Redis.

use crate::engine::batching::reply::{ReplySender, channel, send_all};
use crate::engine::presence::OnlinePeople;
use crate::engine::presence::cursor::PresenceCursor;
use crate::engine::waiting::announced_changes::{AnnouncedChanges, Announcement};
use crate::engine::waiting::head_cache::InboxHeadCache;
use crate::engine::waiting::read_moves::ReadMoves;
use crate::engine::waiting::typing::Typing;
use crate::model::account::Caller;
use crate::model::ids::{ChangeSeq, ConvSeq, ConversationId, DeviceId, InboxSeq, UserId};
use crate::model::moved::{Moved, WatchPosition};
use crate::model::rate_limit::network;
use crate::model::wire::people::presence::Activity;
use crate::model::wire::signals::TypingMark;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Why a wait is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The inbox has a new head.
    News {
        /// The head.
        seq: InboxSeq,
        /// The unread total as of the head, if Redis returned it.
        total: Option<i64>,
    },
    /// A watched conversation has a new message.
    Conversation,
    /// Another member's read position of this watched conversation has moved.
    Reads(ConversationId),
    /// Other people type in a conversation of `typing`.
    Typing,
    /// People of `presence` have changed.
    Presence,
    /// A newer wait of the same device runs on this node.
    Superseded,
    /// The device was logged out.
    Revoked,
    /// The node drains.
    Reconnect,
}

struct Waiter {
    id: u64,
    device: DeviceId,
    since: InboxSeq,
    wake: ReplySender<Wake>,
}

/// A wait that has seen a conversation up to a position.
#[derive(Clone, Copy)]
struct Watcher {
    user: UserId,
    seen: WatchPosition,
}

impl Watcher {
    /// Whether it has not seen a message or change up to these heads.
    fn is_behind(&self, seq: ConvSeq, change: Option<ChangeSeq>) -> bool {
        let seen = self.seen.change_seq;
        self.seen.last_seq < seq || change.is_some_and(|change| seen.is_some_and(|s| s < change))
    }
}

/// All waits of this node.
pub struct WaitRegistry {
    by_user: Mutex<HashMap<UserId, Vec<Waiter>>>,
    /// By the id of the wait, so that removing one of ten thousand watchers does not scan the others.
    watchers: Mutex<HashMap<ConversationId, HashMap<u64, Watcher>>>,
    /// By network, the sum of the weights of its waits.
    by_address: Mutex<HashMap<IpAddr, usize>>,
    next_id: AtomicU64,
    registered: AtomicUsize,
    asleep: AtomicUsize,
    /// The changes that were announced to watchers.
    pub changes: AnnouncedChanges,
    /// The read positions that moved.
    pub reads: ReadMoves,
    /// Who types.
    pub typing: Typing,
    /// Who is online.
    pub presence: OnlinePeople,
    /// The heads that need no query.
    pub head_cache: InboxHeadCache,
}

/// A registered wait. Dropping it, for example when the client disconnects, ends it.
pub struct WaitGuard {
    waiters: Arc<WaitRegistry>,
    user: UserId,
    address: IpAddr,
    watch: Box<[ConversationId]>,
    /// The conversations at which it looks, if any.
    looks_at: Option<Box<LooksAt>>,
    /// A change of presence ends it.
    is_subscriber: bool,
    /// The device that the wait keeps online.
    online: Option<DeviceId>,
    id: u64,
    woken: oneshot::Receiver<Wake>,
}

struct LooksAt {
    conversations: Vec<ConversationId>,
}

/// The weight of a wait in the limit of its address: 100 watched conversations take ten times its memory.
fn weight(watched: usize) -> usize {
    1 + watched / 10
}

impl WaitGuard {
    /// Ends the older waits of the device: each device has at most one.
    pub fn supersede_older(&self, device: DeviceId) {
        let is_older = |waiter: &Waiter| waiter.device == device && waiter.id < self.id;
        for wake in self.waiters.take_matching(self.user, is_older) {
            wake.send(Wake::Superseded);
        }
    }

    /// The wait is woken when others type in these conversations than the marks say.
    pub fn look(&mut self, marks: &[(ConversationId, TypingMark)]) {
        self.waiters.typing.look(self.id, self.user, marks);
        let conversations = marks.iter().map(|(id, _)| *id).collect();
        self.looks_at = Some(Box::new(LooksAt { conversations }));
    }

    /// The wait keeps its device online. `stamp` is the time, in seconds since 1970 by the database's clock.
    pub fn keep_online(&mut self, device: DeviceId, activity: Option<Activity>, stamp: i64) {
        if self.waiters.presence.is_on && self.online.is_none() {
            let stamp = u32::try_from(stamp).unwrap_or_default();
            let mine = &self.waiters.presence.mine;
            mine.begin(self.user, device, activity, stamp);
            self.online = Some(device);
        }
    }

    /// A change of the people of a cursor ends the wait.
    pub fn subscribe(&mut self, cursor: &Arc<PresenceCursor>) {
        let presence = &self.waiters.presence;
        let (subscribers, timings) = (&presence.subscribers, &presence.timings);
        subscribers.begin(self.id, self.user, Arc::clone(cursor), timings);
        self.is_subscriber = true;
    }

    /// Sleeps until the wait is woken; `None` when its sender was dropped.
    pub async fn sleep(&mut self) -> Option<Wake> {
        let _asleep = Asleep::new(&self.waiters.asleep);
        (&mut self.woken).await.ok()
    }
}

/// Counts a sleeping wait until it is dropped, also when the sleep times out or the client disconnects.
struct Asleep<'a>(&'a AtomicUsize);

impl<'a> Asleep<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for WaitGuard {
    fn drop(&mut self) {
        let mut by_user = self.waiters.lock();
        if let Entry::Occupied(mut waiters) = by_user.entry(self.user) {
            waiters.get_mut().retain(|waiter| waiter.id != self.id);
            if waiters.get().is_empty() {
                waiters.remove();
            }
        }
        drop(by_user);
        if !self.watch.is_empty() {
            let mut watchers = self.waiters.watchers();
            for conversation in &self.watch {
                if let Entry::Occupied(mut waits) = watchers.entry(*conversation) {
                    waits.get_mut().remove(&self.id);
                    if waits.get().is_empty() {
                        waits.remove();
                    }
                }
            }
        }
        if self.is_subscriber {
            self.waiters.presence.subscribers.end(self.id);
        }
        if let Some(device) = self.online {
            self.waiters.presence.mine.end(device);
        }
        if let Some(LooksAt { conversations }) = self.looks_at.as_deref() {
            self.waiters.typing.end(self.id, conversations);
        }
        self.waiters.registered.fetch_sub(1, Ordering::Relaxed);
        let mut by_address = self.waiters.addresses();
        if let Entry::Occupied(mut count) = by_address.entry(self.address) {
            *count.get_mut() -= weight(self.watch.len());
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl WaitRegistry {
    /// No waits.
    pub fn new(presence: OnlinePeople) -> Self {
        Self {
            by_user: Mutex::default(),
            watchers: Mutex::default(),
            by_address: Mutex::default(),
            next_id: AtomicU64::default(),
            registered: AtomicUsize::default(),
            asleep: AtomicUsize::default(),
            changes: AnnouncedChanges::default(),
            reads: ReadMoves::default(),
            typing: Typing::default(),
            presence,
            head_cache: InboxHeadCache::default(),
        }
    }

    /// Registers a wait, unless the weights of its address would exceed `max`.
    pub fn register(
        self: &Arc<Self>,
        caller: Caller,
        since: InboxSeq,
        watch: &[(ConversationId, WatchPosition)],
        max: usize,
    ) -> Option<WaitGuard> {
        let Caller {
            user,
            device,
            address,
            ..
        } = caller;
        let address = network(address);
        let mut by_address = self.addresses();
        let count = by_address.get(&address).copied().unwrap_or_default();
        let count = count + weight(watch.len());
        if count > max {
            return None;
        }
        by_address.insert(address, count);
        drop(by_address);
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (wake, woken) = channel();
        let mut by_user = self.lock();
        by_user.entry(user).or_default().push(Waiter {
            id,
            device,
            since,
            wake,
        });
        drop(by_user);
        if !watch.is_empty() {
            let mut watchers = self.watchers();
            for (conversation, seen) in watch {
                let watcher = Watcher { user, seen: *seen };
                let waits = watchers.entry(*conversation).or_default();
                waits.insert(id, watcher);
            }
        }
        self.registered.fetch_add(1, Ordering::Relaxed);
        Some(WaitGuard {
            waiters: Arc::clone(self),
            user,
            address,
            watch: watch
                .iter()
                .map(|(conversation, _)| *conversation)
                .collect(),
            looks_at: None,
            is_subscriber: false,
            online: None,
            id,
            woken,
        })
    }

    /// Wakes the waits of users that have not seen these heads yet, and returns their number. Each head comes with the total
    /// as of it, if it is known.
    pub fn wake_inbox(
        &self,
        heads: impl IntoIterator<Item = (UserId, InboxSeq, Option<i64>)>,
    ) -> usize {
        let take = |(user, seq, total)| {
            // In this order: a registered wait is woken, and one that registers later does not use the old head.
            self.head_cache.invalidate(user);
            self.typing.forget_access(user);
            let wakes = self.take_matching(user, |waiter| waiter.since < seq);
            wakes
                .into_iter()
                .map(move |wake| wake.ready(Wake::News { seq, total }))
        };
        let taken: Vec<_> = heads.into_iter().flat_map(take).collect();
        let count = taken.len();
        send_all(taken);
        count
    }

    /// Wakes the waits that watch a conversation and have not seen these heads yet, and returns their number. Waits for changes
    /// that are not urgent are woken at most every two seconds.
    pub fn wake_conversation(
        self: &Arc<Self>,
        conversation: ConversationId,
        heads: Moved,
    ) -> usize {
        let mut announced = None;
        if let Some(change) = heads.change
            && self.is_watched(conversation)
        {
            match self.changes.announce(conversation, change) {
                Announcement::Now => announced = Some(change.seq),
                Announcement::Later(at) => {
                    let waiters = Arc::clone(self);
                    tokio::spawn(async move {
                        tokio::time::sleep_until(at.into()).await;
                        if let Some(change) = waiters.changes.announce_late(conversation) {
                            waiters.wake_watchers(conversation, ConvSeq(0), Some(change));
                        }
                    });
                }
                Announcement::Scheduled => {}
            }
        }
        self.wake_watchers(conversation, heads.seq, announced)
    }

    fn is_watched(&self, conversation: ConversationId) -> bool {
        self.watchers().contains_key(&conversation) || self.changes.is_recent(conversation)
    }

    fn wake_watchers(
        &self,
        conversation: ConversationId,
        seq: ConvSeq,
        change: Option<ChangeSeq>,
    ) -> usize {
        let is_behind = |watcher: &Watcher| watcher.is_behind(seq, change);
        self.wake_where(conversation, is_behind, Wake::Conversation)
    }

    /// The users whose waits watch a conversation for changes, except one.
    pub fn watchers_of_changes(
        &self,
        conversation: ConversationId,
        except: Option<UserId>,
    ) -> Vec<UserId> {
        let all = self.watchers();
        let waits = all.get(&conversation).into_iter().flat_map(HashMap::values);
        waits
            .filter(|watcher| watcher.seen.change_seq.is_some() && Some(watcher.user) != except)
            .map(|watcher| watcher.user)
            .collect()
    }

    /// Wakes the waits of these users that watch a conversation for changes: a read position has moved.
    pub fn wake_reads(&self, conversation: ConversationId, users: &[UserId]) {
        let wakes =
            |watcher: &Watcher| watcher.seen.change_seq.is_some() && users.contains(&watcher.user);
        self.wake_where(conversation, wakes, Wake::Reads(conversation));
    }

    fn wake_where(
        &self,
        conversation: ConversationId,
        wakes: impl Fn(&Watcher) -> bool,
        wake: Wake,
    ) -> usize {
        let mut watchers = self.watchers();
        let Some(waits) = watchers.get_mut(&conversation) else {
            return 0;
        };
        let woken: Vec<_> = waits
            .extract_if(|_, watcher| wakes(watcher))
            .map(|(id, watcher)| (watcher.user, id))
            .collect();
        drop(watchers);
        self.wake_waits(woken, wake)
    }

    /// Wakes waits of users, by the id of the wait, and returns their number.
    pub fn wake_waits(&self, waits: impl IntoIterator<Item = (UserId, u64)>, wake: Wake) -> usize {
        let take = |(user, id)| self.take_matching(user, |waiter| waiter.id == id);
        let taken: Vec<_> = waits.into_iter().flat_map(take).collect();
        let count = taken.len();
        send_all(taken.into_iter().map(|one| one.ready(wake)));
        count
    }

    /// Every watched conversation.
    pub fn watched(&self) -> Vec<ConversationId> {
        self.watchers().keys().copied().collect()
    }

    /// Ends the waits of a device that was logged out.
    pub fn end_device(&self, user: UserId, device: DeviceId) {
        self.presence.mine.forget(device);
        for wake in self.take_matching(user, |waiter| waiter.device == device) {
            wake.send(Wake::Revoked);
        }
    }

    /// Asks all waits of a user to reconnect to another node.
    pub fn reconnect(&self, user: UserId) {
        for wake in self.take_matching(user, |_| true) {
            wake.send(Wake::Reconnect);
        }
    }

    /// Every waiting user, with the lowest position that one of its waits has seen.
    pub fn positions(&self) -> Vec<(UserId, InboxSeq)> {
        self.lock()
            .iter()
            .filter_map(|(user, waiters)| {
                let since = waiters.iter().map(|waiter| waiter.since).min()?;
                Some((*user, since))
            })
            .collect()
    }

    /// The number of registered waits, including those that still read their heads.
    pub fn count(&self) -> usize {
        self.registered.load(Ordering::Relaxed)
    }

    /// The number of waits that have read their heads and sleep: every later commit wakes them.
    pub fn asleep(&self) -> usize {
        self.asleep.load(Ordering::Relaxed)
    }

    /// Removes the matching waits of a user, and returns their senders.
    fn take_matching(
        &self,
        user: UserId,
        matches: impl Fn(&Waiter) -> bool,
    ) -> Vec<ReplySender<Wake>> {
        let mut by_user = self.lock();
        let Entry::Occupied(mut waiters) = by_user.entry(user) else {
            return Vec::new();
        };
        let taken = waiters.get_mut().extract_if(.., |waiter| matches(waiter));
        let taken = taken.map(|waiter| waiter.wake).collect();
        if waiters.get().is_empty() {
            waiters.remove();
        }
        taken
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        let locked = self.by_address.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }

    fn watchers(&self) -> MutexGuard<'_, HashMap<ConversationId, HashMap<u64, Watcher>>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Vec<Waiter>>> {
        self.by_user.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
