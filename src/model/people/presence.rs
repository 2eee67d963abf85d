//! What decides what others see of a user's presence.

use crate::model::ids::UserId;
use crate::model::wire::people::presence::Activity;
use crate::model::wire::user::{Availability, Platform};
use uuid::Uuid;

/// One process of the server. A restart is a new node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub Uuid);

/// A beat of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The beats of the node so far.
    pub count: u64,
    /// The time, in seconds since 1970 by the database's clock.
    pub at: i64,
}

/// What PostgreSQL has of a user that is online.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PersonFacts {
    /// The number of the profile.
    pub rev: u32,
    /// The number of what decides who sees the presence.
    pub audience_rev: u32,
    /// What the user wants others to see.
    pub availability: Availability,
    /// When that was read, in seconds since 1970 by the database's clock.
    pub as_of: u32,
}

/// A device of a user, as one node publishes it to the others. The device is a part of its id: two devices of one user that share it
/// look like one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceKey {
    /// The user.
    pub user: UserId,
    /// The last 32 bits of the device's id, which are random.
    pub device: u32,
}

impl DeviceKey {
    /// No device: the end of it says that what decides what others see of the user has changed.
    pub fn notice(user: UserId) -> Self {
        Self { user, device: 0 }
    }

    /// Whether it is [`Self::notice`].
    pub fn is_notice(self) -> bool {
        self.device == 0
    }
}

/// The presence of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevicePresence {
    /// What the user does there.
    pub activity: Activity,
    /// The kind of program.
    pub platform: Platform,
    /// When the node last saw the device, in seconds since 1970 by the database's clock. It only decides which of two nodes has seen the
    /// device last.
    pub stamp: u32,
    /// The facts about the user.
    pub facts: PersonFacts,
}

/// A change of the devices of a node: `None` ends a device.
pub type DeviceChange = (DeviceKey, Option<DevicePresence>);
