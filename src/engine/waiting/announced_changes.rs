//! Which changes were announced to the watchers of this node, so that a storm of reactions wakes each watcher at most every two seconds.
//!
//! A watcher fetches the changes and waits again. Its new wait compares with the change that was announced, not with the head: otherwise
//! it would return immediately all through the storm.

use crate::model::ids::{ChangeSeq, ConversationId};
use crate::model::moved::MovedChange;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time between two announcements of changes that are not urgent.
pub const INTERVAL: Duration = Duration::from_secs(2);

/// The last announcement of a conversation.
struct Announced {
    change: ChangeSeq,
    at: Instant,
    /// A later change, which is announced at the end of the interval.
    later: Option<ChangeSeq>,
}

/// When a change is announced to the watchers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// Now.
    Now,
    /// At this time, by the caller.
    Later(Instant),
    /// Later, by an earlier caller.
    Scheduled,
}

/// The last announcements, by conversation.
#[derive(Default)]
pub struct AnnouncedChanges(Mutex<HashMap<ConversationId, Announced>>);

impl AnnouncedChanges {
    /// Decides when a change is announced to the watchers, and notes it.
    pub fn announce(&self, conversation: ConversationId, change: MovedChange) -> Announcement {
        let mut all = self.lock();
        let now = Instant::now();
        let announced = match all.entry(conversation) {
            Entry::Occupied(announced) => announced.into_mut(),
            Entry::Vacant(new) => {
                new.insert(Announced {
                    change: change.seq,
                    at: now,
                    later: None,
                });
                return Announcement::Now;
            }
        };
        if change.is_urgent || announced.at.elapsed() >= INTERVAL {
            announced.change = announced.change.max(change.seq);
            announced.at = now;
            return Announcement::Now;
        }
        if change.seq <= announced.change {
            return Announcement::Scheduled;
        }
        match announced
            .later
            .replace(change.seq.max(announced.later.unwrap_or_default()))
        {
            Some(_) => Announcement::Scheduled,
            None => Announcement::Later(announced.at + INTERVAL),
        }
    }

    /// The change to announce at the end of the interval.
    pub fn announce_late(&self, conversation: ConversationId) -> Option<ChangeSeq> {
        let mut all = self.lock();
        let announced = all.get_mut(&conversation)?;
        let later = announced.later.take()?;
        announced.change = announced.change.max(later);
        announced.at = Instant::now();
        Some(announced.change)
    }

    /// Whether a wait that has seen a change has news at this head. Notes it if so.
    pub fn is_news(&self, conversation: ConversationId, seen: ChangeSeq, head: ChangeSeq) -> bool {
        if head <= seen {
            return false;
        }
        let mut all = self.lock();
        let now = Instant::now();
        match all.entry(conversation) {
            Entry::Occupied(mut announced) => {
                let announced = announced.get_mut();
                if announced.at.elapsed() < INTERVAL {
                    return announced.change > seen;
                }
                announced.change = head;
                announced.at = now;
            }
            Entry::Vacant(new) => {
                new.insert(Announced {
                    change: head,
                    at: now,
                    later: None,
                });
            }
        }
        true
    }

    /// Whether a change was announced within the interval.
    pub fn is_recent(&self, conversation: ConversationId) -> bool {
        let all = self.lock();
        all.get(&conversation)
            .is_some_and(|announced| announced.at.elapsed() < INTERVAL)
    }

    /// Forgets announcements that delay nothing any more.
    pub fn forget_old(&self) {
        self.lock()
            .retain(|_, announced| announced.later.is_some() || announced.at.elapsed() < INTERVAL);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConversationId, Announced>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
