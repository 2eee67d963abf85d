//! Which changes the watchers of this node were told, so that a storm of reactions wakes each watcher at most every two seconds.
//!
//! A watcher fetches the changes and waits again. Its new wait compares with the change that was told, not with the head: otherwise
//! it would return immediately all through the storm.

use crate::model::ids::{ChangeSeq, ConversationId};
use crate::model::moved::MovedChange;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time between two tellings of changes that are not urgent.
pub const INTERVAL: Duration = Duration::from_secs(2);

/// The last telling of a conversation.
struct Told {
    change: ChangeSeq,
    at: Instant,
    /// A later change, which is told at the end of the interval.
    later: Option<ChangeSeq>,
}

/// When watchers are told a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// Now.
    Now,
    /// At this time, by the caller.
    Later(Instant),
    /// Later, by an earlier caller.
    Scheduled,
}

/// The last tellings, by conversation.
#[derive(Default)]
pub struct ToldChanges(Mutex<HashMap<ConversationId, Told>>);

impl ToldChanges {
    /// Decides when watchers are told a change, and notes it.
    pub fn tell(&self, conversation: ConversationId, change: MovedChange) -> Telling {
        let mut all = self.lock();
        let now = Instant::now();
        let told = match all.entry(conversation) {
            Entry::Occupied(told) => told.into_mut(),
            Entry::Vacant(new) => {
                new.insert(Told {
                    change: change.seq,
                    at: now,
                    later: None,
                });
                return Telling::Now;
            }
        };
        if change.is_urgent || told.at.elapsed() >= INTERVAL {
            told.change = told.change.max(change.seq);
            told.at = now;
            return Telling::Now;
        }
        if change.seq <= told.change {
            return Telling::Scheduled;
        }
        match told
            .later
            .replace(change.seq.max(told.later.unwrap_or_default()))
        {
            Some(_) => Telling::Scheduled,
            None => Telling::Later(told.at + INTERVAL),
        }
    }

    /// The change to tell at the end of the interval.
    pub fn tell_late(&self, conversation: ConversationId) -> Option<ChangeSeq> {
        let mut all = self.lock();
        let told = all.get_mut(&conversation)?;
        let later = told.later.take()?;
        told.change = told.change.max(later);
        told.at = Instant::now();
        Some(told.change)
    }

    /// Whether a wait that has seen a change has news at this head. Notes it if so.
    pub fn is_news(&self, conversation: ConversationId, seen: ChangeSeq, head: ChangeSeq) -> bool {
        if head <= seen {
            return false;
        }
        let mut all = self.lock();
        let now = Instant::now();
        match all.entry(conversation) {
            Entry::Occupied(mut told) => {
                let told = told.get_mut();
                if told.at.elapsed() < INTERVAL {
                    return told.change > seen;
                }
                told.change = head;
                told.at = now;
            }
            Entry::Vacant(new) => {
                new.insert(Told {
                    change: head,
                    at: now,
                    later: None,
                });
            }
        }
        true
    }

    /// Whether watchers were told a change within the interval.
    pub fn is_recent(&self, conversation: ConversationId) -> bool {
        let all = self.lock();
        all.get(&conversation)
            .is_some_and(|told| told.at.elapsed() < INTERVAL)
    }

    /// Forgets tellings that delay nothing any more.
    pub fn forget_old(&self) {
        self.lock()
            .retain(|_, told| told.later.is_some() || told.at.elapsed() < INTERVAL);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConversationId, Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
