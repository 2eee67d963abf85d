//! How far the devices of this node have their inboxes. `since_seq` of a fetch or a wait says that the device has every entry up to it.
//!
//! The positions that moved are written every 10 seconds (`tasks/delivered.rs`), so that no request writes one. Most waits begin at a
//! position that is stored already, so these are remembered, for a minute or two after their last use.

use crate::model::account::Caller;
use crate::model::ids::{DeviceId, InboxSeq};
use crate::storage::pg::identity::devices::DevicePosition;
use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// After this number of flushes, a minute, the stored positions become the older ones.
const FLUSHES: u32 = 6;

/// The positions of devices.
pub struct DeliveredPositions {
    is_on: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Positions to store.
    moved: HashMap<DeviceId, DevicePosition>,
    /// Positions that are stored.
    stored: HashMap<DeviceId, InboxSeq>,
    /// Stored positions that were not used since they became older; the next change forgets them.
    older: HashMap<DeviceId, InboxSeq>,
    flushes: u32,
}

impl DeliveredPositions {
    /// No positions so far. If it is off, none are kept.
    pub fn new(is_on: bool) -> Self {
        Self {
            is_on,
            state: Mutex::default(),
        }
    }

    /// The caller's device has every entry of its inbox up to this one.
    pub fn note(&self, caller: Caller, seq: InboxSeq) {
        if !self.is_on || seq == InboxSeq(0) {
            return;
        }
        let Caller { user, device, .. } = caller;
        let state = &mut *self.lock();
        if let Some(stored) = state.older.remove(&device) {
            state.stored.entry(device).or_insert(stored);
        }
        if state.stored.get(&device) >= Some(&seq) {
            return;
        }
        state.moved_to(DevicePosition { user, device, seq });
    }

    /// Takes the positions to store, in the order in which their rows are locked.
    pub fn take(&self) -> Vec<DevicePosition> {
        let state = &mut *self.lock();
        state.flushes += 1;
        if state.flushes == FLUSHES {
            state.flushes = 0;
            state.older = mem::take(&mut state.stored);
        }
        let mut moved: Vec<_> = mem::take(&mut state.moved).into_values().collect();
        moved.sort_unstable();
        moved
    }

    /// Notes that positions are stored.
    pub fn stored(&self, positions: &[DevicePosition]) {
        let positions = positions.iter().map(|one| (one.device, one.seq));
        self.lock().stored.extend(positions);
    }

    /// Puts positions back that could not be stored.
    pub fn put_back(&self, positions: &[DevicePosition]) {
        let state = &mut *self.lock();
        positions.iter().for_each(|one| state.moved_to(*one));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn moved_to(&mut self, to: DevicePosition) {
        let moved = self.moved.entry(to.device).or_insert(to);
        moved.seq = moved.seq.max(to.seq);
    }
}

#[cfg(test)]
mod tests {
    use super::{DeliveredPositions, FLUSHES};
    use crate::model::account::Caller;
    use crate::model::ids::{DeviceId, InboxSeq, UserId};
    use uuid::Uuid;

    fn caller(n: u128) -> Caller {
        Caller {
            user: UserId(Uuid::from_u128(n)),
            device: DeviceId(Uuid::from_u128(n)),
            generation: 0,
            token_expires: 0,
            address: [192, 0, 2, 1].into(),
        }
    }

    #[test]
    fn position_is_taken_once_for_each_move() {
        let all = DeliveredPositions::new(true);
        let seqs = || -> Vec<_> { all.take().iter().map(|one| one.seq.0).collect() };
        for (device, seq) in [(2, 5), (1, 0), (2, 7), (2, 6), (1, 3)] {
            all.note(caller(device), InboxSeq(seq));
        }
        let taken = all.take();
        assert_eq!(
            taken.iter().map(|one| one.seq.0).collect::<Vec<_>>(),
            [3, 7]
        );
        // They could not be stored, and one has moved since.
        all.note(caller(1), InboxSeq(4));
        all.put_back(&taken);
        let taken = all.take();
        assert_eq!(
            taken.iter().map(|one| one.seq.0).collect::<Vec<_>>(),
            [4, 7]
        );
        all.stored(&taken);
        // Waits from positions that are stored, or lower.
        for (device, seq) in [(1, 4), (1, 2), (2, 7)] {
            all.note(caller(device), InboxSeq(seq));
        }
        assert_eq!(seqs(), [0; 0]);
        all.note(caller(2), InboxSeq(8));
        assert_eq!(seqs(), [8]);
    }

    #[test]
    fn stored_position_is_forgotten_when_it_is_not_used() {
        let all = DeliveredPositions::new(true);
        let ends = |generations: u32| {
            for _ in 0..generations * FLUSHES {
                all.take();
            }
        };
        all.note(caller(1), InboxSeq(3));
        all.stored(&all.take());
        for _ in 0..5 {
            ends(1);
            all.note(caller(1), InboxSeq(3));
            assert!(all.take().is_empty());
        }
        ends(2);
        assert!(all.lock().stored.is_empty() && all.lock().older.is_empty());
        let off = DeliveredPositions::new(false);
        off.note(caller(1), InboxSeq(3));
        assert!(off.take().is_empty());
    }
}
