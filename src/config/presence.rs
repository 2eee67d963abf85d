//! The times of presence. They are no variables: the tests shorten them.

use std::time::Duration;

/// The times of presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresenceTimings {
    /// How long a device stays online after its last wait has ended. Clients wait again sooner.
    pub linger: Duration,
    /// How often changes are published.
    pub tick: Duration,
    /// How often a node counts its beat up.
    pub beat: Duration,
    /// After how many answered beats in which its own count stood still a node is gone.
    pub still_beats: u32,
    /// After how many more unanswered beats than this the devices of other nodes are unknown.
    pub silent_beats: u32,
    /// The least time between two changes of a user's state.
    pub pause: Duration,
    /// The least time that a wait sleeps before presence ends it.
    pub wake_after: Duration,
    /// The ends of waits by one change are spread over this time.
    pub wake_spread: Duration,
    /// How often the times at which people were last seen are stored.
    pub last_seen: Duration,
    /// How often this is done for people who stay online.
    pub last_seen_again: Duration,
    /// How often what PostgreSQL has of the people online is read again, without a reason.
    pub reload: Duration,
    /// How long Redis keeps what a node has stored, unless the node repeats it.
    pub expiry: Duration,
}

/// The longest pause between two waits of a client that works: the SDK's longest pause after a failure.
pub const MAX_CLIENT_PAUSE: Duration = Duration::from_secs(20);

impl PresenceTimings {
    /// How long a node may be silent.
    pub fn silence(&self) -> Duration {
        self.beat * self.still_beats
    }

    /// A time in ticks, rounded up.
    pub fn ticks(&self, time: Duration) -> u32 {
        let ticks = time.as_nanos().div_ceil(self.tick.as_nanos().max(1));
        u32::try_from(ticks).unwrap_or(u32::MAX)
    }
}

impl Default for PresenceTimings {
    fn default() -> Self {
        Self {
            linger: Duration::from_secs(45),
            tick: Duration::from_secs(1),
            beat: Duration::from_secs(5),
            still_beats: 9,
            silent_beats: 3,
            pause: Duration::from_secs(10),
            wake_after: Duration::from_secs(10),
            wake_spread: Duration::from_secs(5),
            last_seen: Duration::from_secs(10),
            last_seen_again: Duration::from_secs(3_600),
            reload: Duration::from_secs(300),
            expiry: Duration::from_secs(900),
        }
    }
}
