//! The waits that are parked on this node. A parked wait is one small entry here and one sleeping future; it holds no
//! thread and no connection.

use crate::model::ids::{DeviceId, InboxSeq, UserId};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Why a parked wait is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The inbox has reached `seq`; the total as of it, where Redis said so.
    News {
        /// The head.
        seq: InboxSeq,
        /// The unread total as of the head.
        total: Option<i64>,
    },
    /// A newer wait of the same device runs on this node.
    Superseded,
    /// The device was logged out.
    Revoked,
    /// The node is going away.
    Reconnect,
}

struct Waiter {
    id: u64,
    device: DeviceId,
    since: InboxSeq,
    wake: oneshot::Sender<Wake>,
}

/// All parked waits of this node.
#[derive(Default)]
pub struct Waiters {
    by_user: Mutex<HashMap<UserId, Vec<Waiter>>>,
    next_id: AtomicU64,
}

/// A parked wait. Dropping it, as happens when the client goes away, frees it.
pub struct Parked<'a> {
    waiters: &'a Waiters,
    user: UserId,
    id: u64,
    /// Yields once, when there is a reason to wake.
    pub woken: oneshot::Receiver<Wake>,
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        let mut by_user = self.waiters.lock();
        if let Entry::Occupied(mut waiters) = by_user.entry(self.user) {
            waiters.get_mut().retain(|waiter| waiter.id != self.id);
            if waiters.get().is_empty() {
                waiters.remove();
            }
        }
    }
}

impl Waiters {
    /// Parks a wait. An older wait of the same device is superseded: one waiting process per device.
    pub fn park(&self, user: UserId, device: DeviceId, since: InboxSeq) -> Parked<'_> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (wake, woken) = oneshot::channel();
        let mut by_user = self.lock();
        let waiters = by_user.entry(user).or_default();
        for older in waiters.extract_if(.., |waiter| waiter.device == device) {
            // A wait that is gone already needs no waking; the same below.
            let _gone = older.wake.send(Wake::Superseded);
        }
        waiters.push(Waiter {
            id,
            device,
            since,
            wake,
        });
        Parked {
            waiters: self,
            user,
            id,
            woken,
        }
    }

    /// Wakes the waits of a user that have not seen `seq` yet, and says how many there were.
    pub fn news(&self, user: UserId, seq: InboxSeq, total: Option<i64>) -> usize {
        self.end(user, |waiter| waiter.since < seq, Wake::News { seq, total })
    }

    /// Ends the waits of a device that was logged out.
    pub fn end_device(&self, user: UserId, device: DeviceId) {
        self.end(user, |waiter| waiter.device == device, Wake::Revoked);
    }

    /// Asks all waits of a user to wait again elsewhere, and says how many there were.
    pub fn reconnect(&self, user: UserId) -> usize {
        self.end(user, |_| true, Wake::Reconnect)
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

    /// How many waits are parked.
    pub fn count(&self) -> usize {
        self.lock().values().map(Vec::len).sum()
    }

    fn end(&self, user: UserId, which: impl Fn(&Waiter) -> bool, wake: Wake) -> usize {
        let mut by_user = self.lock();
        let Entry::Occupied(mut waiters) = by_user.entry(user) else {
            return 0;
        };
        let ended: Vec<_> = waiters.get_mut().extract_if(.., |w| which(w)).collect();
        if waiters.get().is_empty() {
            waiters.remove();
        }
        drop(by_user);
        let count = ended.len();
        for waiter in ended {
            let _gone = waiter.wake.send(wake);
        }
        count
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Vec<Waiter>>> {
        self.by_user.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
