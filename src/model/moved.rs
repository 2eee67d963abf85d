//! The heads of a conversation's timeline, for the waits that watch it.

use crate::model::ids::{ChangeSeq, ConvSeq};

/// The new heads of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The seq of its newest message.
    pub seq: ConvSeq,
    /// The number of the latest change of its messages.
    pub change: Option<MovedChange>,
}

/// The latest change of a conversation's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MovedChange {
    /// Its number.
    pub seq: ChangeSeq,
    /// Watchers are woken immediately, not at most every two seconds.
    pub is_urgent: bool,
}

impl Moved {
    /// These heads and later ones.
    pub fn and(self, later: Self) -> Self {
        let was_urgent = self.change.is_some_and(|change| change.is_urgent);
        let both = |later: MovedChange| MovedChange {
            is_urgent: later.is_urgent || was_urgent,
            ..later
        };
        Self {
            seq: later.seq,
            change: later.change.map(both).or(self.change),
        }
    }
}

/// The heads of a conversation's timeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimelineHeads {
    /// The seq of its newest message.
    pub last_seq: ConvSeq,
    /// The number of the latest change of its messages.
    pub change_seq: ChangeSeq,
}

/// A watched conversation, and how much of it a device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchPosition {
    /// The last seq of its timeline.
    pub last_seq: ConvSeq,
    /// The number of the last change; nothing for a device that does not wait for changes.
    pub change_seq: Option<ChangeSeq>,
}
