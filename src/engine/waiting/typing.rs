//! Who types in the conversations at which waits of this node look, and which typing this node has published.
//!
//! All of it is in this process and lives for seconds: a node learns it from the channel of the conversation. A mark says what the
//! client has, so a wait that changes its node gets the difference to that and nothing else.

use crate::engine::waiting::access_cache::AccessCache;
use crate::model::ids::{ConversationId, UserId};
use crate::model::wire::signals::TypingMark;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long a user types after the last signal.
pub const LIFE: Duration = Duration::from_secs(8);

/// The least time between two starts that this node publishes for a user and a conversation.
pub const REPEAT: Duration = Duration::from_secs(2);

/// A wait sleeps at least this long before typing wakes it.
const SLEEP: Duration = Duration::from_secs(1);

/// The typing that concerns this node.
#[derive(Default)]
pub struct Typing {
    state: Mutex<State>,
    /// There is something to do for `tasks/typing.rs`.
    pub changed: Notify,
    /// Who may type in a conversation.
    pub senders: AccessCache,
    /// Who may see another member type. The access to oneself says whether the user is a member.
    pub readers: AccessCache,
    published: Mutex<HashMap<(UserId, ConversationId), Published>>,
    /// Without published typing, a send needs no lock here.
    has_published: AtomicBool,
}

#[derive(Default)]
struct State {
    conversations: HashMap<ConversationId, LookedAt>,
    /// The conversations with a user in `received`.
    active: HashSet<ConversationId>,
    /// The conversations of which a wait may have to be woken.
    due: HashSet<ConversationId>,
}

/// A conversation at which a wait looks, or has looked a moment ago.
struct LookedAt {
    /// Signals since this time have arrived.
    since: Instant,
    /// The users of which a signal has arrived.
    received: HashMap<UserId, Received>,
    /// By the id of the wait.
    looks: HashMap<u64, Look>,
}

struct Received {
    is_typing: bool,
    until: Instant,
}

#[derive(Clone, Copy)]
struct Look {
    user: UserId,
    mark: TypingMark,
    since: Instant,
}

/// The last signal that this node has published.
struct Published {
    start: Instant,
    is_typing: bool,
}

/// Who types in a conversation, and what a client has.
#[derive(Clone, Debug)]
pub struct TypingChange {
    /// The user of the client.
    pub reader: UserId,
    /// The conversation.
    pub conversation: ConversationId,
    /// What the client has.
    pub mark: TypingMark,
    /// The users that type, except the reader, by id.
    pub typists: Vec<UserId>,
}

impl LookedAt {
    /// The users that type, except the reader, by id. `None` if that is not known for a client with this mark.
    fn typists(&self, reader: UserId, mark: TypingMark, now: Instant) -> Option<Vec<UserId>> {
        let received = || self.received.iter().filter(|(user, _)| **user != reader);
        // A user who types sends a signal within 8 s. Until then the state is known only for a client of whose mark this node has signals
        // of everybody.
        if now < self.since + LIFE && !mark.is_among(received().map(|(user, _)| *user)) {
            return None;
        }
        let typing = received().filter(|(_, received)| received.is_typing && now < received.until);
        let mut typists: Vec<_> = typing.map(|(user, _)| *user).collect();
        typists.sort_unstable();
        Some(typists)
    }
}

/// Whether a client with this mark has these typists.
fn has_mark_of(mark: TypingMark, typists: &[UserId]) -> bool {
    TypingMark::of(typists.iter().copied()) == mark
}

impl Typing {
    /// A wait looks at conversations, of which its client has these marks.
    pub fn look(&self, wait: u64, user: UserId, marks: &[(ConversationId, TypingMark)]) {
        let since = Instant::now();
        let state = &mut *self.lock();
        for (id, mark) in marks {
            let one = state.conversations.entry(*id).or_insert_with(|| LookedAt {
                since,
                received: HashMap::new(),
                looks: HashMap::new(),
            });
            let mark = *mark;
            one.looks.insert(wait, Look { user, mark, since });
            let typists = one.typists(user, mark, since);
            if typists.is_none_or(|typists| !has_mark_of(mark, &typists)) {
                state.due.insert(*id);
            }
        }
        if !state.due.is_empty() {
            self.changed.notify_one();
        }
    }

    /// A wait has ended.
    pub fn end(&self, wait: u64, conversations: &[ConversationId]) {
        let mut state = self.lock();
        for id in conversations {
            if let Some(one) = state.conversations.get_mut(id) {
                one.looks.remove(&wait);
            }
        }
    }

    /// A signal has arrived.
    pub fn receive(&self, conversation: ConversationId, user: UserId, is_typing: bool) {
        let state = &mut *self.lock();
        let Some(one) = state.conversations.get_mut(&conversation) else {
            return;
        };
        let until = Instant::now() + LIFE;
        let received = Received { is_typing, until };
        let before = one.received.insert(user, received);
        state.active.insert(conversation);
        // A repeat changes nothing.
        if before.is_none_or(|before| before.is_typing != is_typing) {
            state.due.insert(conversation);
        }
        self.changed.notify_one();
    }

    /// The channel of a conversation is subscribed from now on. Earlier signals may have been lost.
    pub fn subscribed(&self, conversation: ConversationId) {
        let state = &mut *self.lock();
        if let Some(one) = state.conversations.get_mut(&conversation) {
            one.since = Instant::now();
        }
    }

    /// Who types, and what a client has, if the state is known and one of both is somebody. What the reader may see can have
    /// changed even if it is the same.
    pub fn change(
        &self,
        reader: UserId,
        conversation: ConversationId,
        mark: TypingMark,
    ) -> Option<TypingChange> {
        let state = self.lock();
        let one = state.conversations.get(&conversation)?;
        let typists = one.typists(reader, mark, Instant::now())?;
        (mark != TypingMark::default() || !typists.is_empty()).then_some(TypingChange {
            reader,
            conversation,
            mark,
            typists,
        })
    }

    /// Takes the changes that have to wake a wait, with the id of the wait. What is not yet to be signalled stays due.
    pub fn take_due(&self) -> Vec<(u64, TypingChange)> {
        let state = &mut *self.lock();
        let now = Instant::now();
        let State {
            conversations,
            active,
            due,
        } = state;
        active.retain(|id| {
            let Some(one) = conversations.get_mut(id) else {
                return false;
            };
            let mut has_ended = false;
            one.received.retain(|_, received| {
                let lives = now < received.until;
                has_ended |= received.is_typing && !lives;
                lives
            });
            if has_ended {
                due.insert(*id);
            }
            !one.received.is_empty()
        });
        let mut changes = Vec::new();
        due.retain(|id| {
            let Some(one) = conversations.get(id) else {
                return false;
            };
            let mut stays = false;
            for (wait, look) in &one.looks {
                match one.typists(look.user, look.mark, now) {
                    Some(typists) if has_mark_of(look.mark, &typists) => {}
                    Some(typists) if look.since + SLEEP <= now => {
                        let change = TypingChange {
                            reader: look.user,
                            conversation: *id,
                            mark: look.mark,
                            typists,
                        };
                        changes.push((*wait, change));
                    }
                    Some(_) | None => stays = true,
                }
            }
            stays
        });
        changes
    }

    /// Whether nobody types and nothing is due.
    pub fn is_idle(&self) -> bool {
        let state = self.lock();
        state.active.is_empty() && state.due.is_empty()
    }

    /// The conversations at which waits look.
    pub fn looked_at(&self) -> Vec<ConversationId> {
        let state = self.lock();
        let looked_at = state.conversations.iter();
        let looked_at = looked_at.filter(|(_, one)| !one.looks.is_empty());
        looked_at.map(|(id, _)| *id).collect()
    }

    /// Notes that a signal of a user is published, and returns whether it has to be: a start that repeats an earlier one too soon is
    /// not, and neither is a stop that repeats one.
    pub fn publishes(&self, user: UserId, conversation: ConversationId, is_typing: bool) -> bool {
        let mut published = self.published();
        let now = Instant::now();
        let last = published.get_mut(&(user, conversation));
        if !is_typing {
            let repeats = |last: &mut Published| {
                let was_typing = std::mem::take(&mut last.is_typing);
                !was_typing && last.start.elapsed() < LIFE
            };
            return !last.is_some_and(repeats);
        }
        if last.is_some_and(|last| last.start.elapsed() < REPEAT) {
            return false;
        }
        let start = Published {
            start: now,
            is_typing,
        };
        published.insert((user, conversation), start);
        self.has_published.store(true, Ordering::SeqCst);
        true
    }

    /// A message of the user was stored. Returns whether this node has published that the user types, and has to publish the stop.
    pub fn is_over(&self, user: UserId, conversation: ConversationId) -> bool {
        if !self.has_published.load(Ordering::SeqCst) {
            return false;
        }
        let mut published = self.published();
        let last = published.get_mut(&(user, conversation));
        last.is_some_and(|last| {
            let was_typing = last.is_typing && last.start.elapsed() < LIFE;
            last.is_typing = false;
            was_typing
        })
    }

    /// An entry has arrived in the user's inbox: what the user may do can have changed.
    pub fn forget_access(&self, user: UserId) {
        self.senders.forget(user);
        self.readers.forget(user);
    }

    /// Forgets what is no longer needed.
    pub fn evict(&self) {
        self.senders.evict_expired();
        self.readers.evict_expired();
        let mut published = self.published();
        published.retain(|_, last| last.start.elapsed() < LIFE);
        self.has_published
            .store(!published.is_empty(), Ordering::SeqCst);
        drop(published);
        let state = &mut *self.lock();
        state.conversations.retain(|_, one| !one.looks.is_empty());
    }

    fn published(&self) -> MutexGuard<'_, HashMap<(UserId, ConversationId), Published>> {
        self.published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
