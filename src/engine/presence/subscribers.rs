//! The waits that a change of presence ends. The others are not here: their answers compare when they are made.

use crate::clock;
use crate::config::presence::PresenceTimings;
use crate::engine::presence::cursor::PresenceCursor;
use crate::model::ids::UserId;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The waits of this node that follow people, and are woken.
#[derive(Default)]
pub struct Subscribers {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waits: HashMap<u64, Subscriber>,
    /// The waits that follow a person.
    by_person: HashMap<UserId, HashSet<u64>>,
    /// The waits that may have to be woken, and when.
    due: BTreeSet<(Instant, u64)>,
}

struct Subscriber {
    user: UserId,
    cursor: Arc<PresenceCursor>,
    /// Not woken before.
    from: Instant,
    due: Option<Instant>,
}

/// A wait that may have to be woken.
pub struct DueWait {
    /// Its id.
    pub id: u64,
    /// Its user.
    pub user: UserId,
    /// What its client has.
    pub cursor: Arc<PresenceCursor>,
}

impl Subscribers {
    /// A wait begins to follow people. It is also due without a change, one time: there may have been one before.
    pub fn begin(
        &self,
        id: u64,
        user: UserId,
        cursor: Arc<PresenceCursor>,
        timings: &PresenceTimings,
    ) {
        let state = &mut *self.lock();
        for one in &cursor.people {
            state.by_person.entry(one.user).or_default().insert(id);
        }
        let from = Instant::now() + timings.wake_after;
        let wait = Subscriber {
            user,
            cursor,
            from,
            due: None,
        };
        state.waits.insert(id, wait);
        state.schedule(id, from, timings);
    }

    /// A wait has ended.
    pub fn end(&self, id: u64) {
        let state = &mut *self.lock();
        let Some(wait) = state.waits.remove(&id) else {
            return;
        };
        if let Some(due) = wait.due {
            state.due.remove(&(due, id));
        }
        for one in &wait.cursor.people {
            if let Some(waits) = state.by_person.get_mut(&one.user) {
                waits.remove(&id);
                if waits.is_empty() {
                    state.by_person.remove(&one.user);
                }
            }
        }
    }

    /// These people may look different.
    pub fn moved(&self, people: &HashSet<UserId>, timings: &PresenceTimings) {
        let state = &mut *self.lock();
        if state.waits.is_empty() {
            return;
        }
        let now = Instant::now();
        let waits = people.iter().filter_map(|user| state.by_person.get(user));
        let waits: HashSet<u64> = waits.flatten().copied().collect();
        for id in waits {
            state.schedule(id, now, timings);
        }
    }

    /// Takes the waits that are due.
    pub fn take_due(&self) -> Vec<DueWait> {
        let state = &mut *self.lock();
        let now = Instant::now();
        let mut taken = Vec::new();
        while let Some((at, id)) = state.due.first().copied().filter(|(at, _)| *at <= now) {
            state.due.remove(&(at, id));
            if let Some(wait) = state.waits.get_mut(&id) {
                wait.due = None;
                taken.push(DueWait {
                    id,
                    user: wait.user,
                    cursor: Arc::clone(&wait.cursor),
                });
            }
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The ends of the waits that one change ends are spread.
    fn schedule(&mut self, id: u64, now: Instant, timings: &PresenceTimings) {
        if let Some(wait) = self.waits.get_mut(&id)
            && wait.due.is_none()
        {
            let spread = timings.wake_spread.mul_f64(clock::jitter());
            let due = wait.from.max(now) + spread;
            wait.due = Some(due);
            self.due.insert((due, id));
        }
    }
}
