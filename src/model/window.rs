//! How long after its send a message may be changed.

use crate::model::time::Timestamp;
use chrono::TimeDelta;

/// A time in seconds after the send of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window(pub i64);

impl Window {
    /// Whether a message that was stored at `created` may be changed at `now`. 0: never. −1: always.
    pub fn is_open(self, created: Timestamp, now: Timestamp) -> bool {
        match self.0 {
            0 => false,
            seconds if seconds < 0 => true,
            seconds => now.0 - created.0 <= TimeDelta::seconds(seconds),
        }
    }
}
