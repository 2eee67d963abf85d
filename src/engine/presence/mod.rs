//! Who is online. Each node knows the devices that wait on it, and has a copy of the devices of all others. Nothing of it is in
//! PostgreSQL, and Redis only carries it.

pub mod cursor;
pub mod mine;
pub mod people;
pub mod permissions;
pub mod replica;
pub mod states;
pub mod subscribers;

use crate::clock;
use crate::config::presence::PresenceTimings;
use crate::engine::presence::cursor::CursorKeys;
use crate::engine::presence::mine::OwnDevices;
use crate::engine::presence::permissions::Permissions;
use crate::engine::presence::replica::Replica;
use crate::engine::presence::states::Shown;
use crate::engine::presence::subscribers::Subscribers;
use crate::model::ids::UserId;
use crate::model::people::presence::{DeviceChange, NodeId};
use crate::model::wire::people::privacy::Audience;

/// The handle for presence.
pub struct OnlinePeople {
    /// The times.
    pub timings: PresenceTimings,
    /// Whether it is switched on.
    pub is_on: bool,
    /// This process.
    pub node: NodeId,
    /// The devices of this node.
    pub mine: OwnDevices,
    /// The devices of all nodes.
    pub replica: Replica,
    /// The keys of cursors.
    pub keys: CursorKeys,
    /// Who may see whom.
    pub permissions: Permissions,
    /// The waits that a change ends.
    pub subscribers: Subscribers,
}

impl OnlinePeople {
    /// Nobody is online. `default` sees the presence of those who have chosen nothing. None if the secret cannot be a key.
    pub fn new(
        is_on: bool,
        timings: PresenceTimings,
        secret: &[u8],
        default: Audience,
    ) -> Option<Self> {
        Some(Self {
            timings,
            is_on,
            node: NodeId(clock::new_id()),
            mine: OwnDevices::default(),
            replica: Replica::default(),
            keys: CursorKeys::new(secret, default)?,
            permissions: Permissions::default(),
            subscribers: Subscribers::default(),
        })
    }

    /// Something has changed that decides what others see of a user: the nodes at which the user waits read it again, and the others do
    /// not go on with what they had.
    pub fn announce(&self, user: UserId) {
        if self.is_on {
            self.mine.reload(user);
            self.mine.announce([user]);
        }
    }

    /// Another node has published changes.
    pub fn receive(&self, node: NodeId, version: u64, changes: Vec<DeviceChange>) {
        for (key, _) in &changes {
            if key.is_notice() {
                self.mine.reload(key.user);
            }
        }
        self.replica.receive(node, version, changes);
    }

    /// What others see of a user.
    pub fn shown(&self, user: UserId) -> Shown {
        match self.is_on {
            true => self.replica.shown(user, &self.timings),
            false => Shown::default(),
        }
    }
}
