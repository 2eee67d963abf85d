//! Where a client continues when its position cannot be used.

use crate::model::ids::Epoch;

/// What a client needs for a resync: it lists its conversations by id, and continues the inbox from the position that the first
/// page names.
#[derive(Clone, Copy, Debug)]
pub struct Resync {
    /// The current epoch.
    pub epoch: Epoch,
    /// The oldest entry that is kept; head + 1 when nothing is.
    pub first_seq: i64,
    /// The head.
    pub last_seq: i64,
}
