//! The sharded channels on which nodes send signals to each other.

use crate::model::ids::{ConversationId, Epoch, UserId};
use crate::model::people::presence::NodeId;
use uuid::Uuid;

/// The subject of signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The inbox of a user.
    Inbox(UserId),
    /// A watched conversation.
    Watch(ConversationId),
    /// The devices of a node.
    Node(NodeId),
}

impl Channel {
    /// The name in Redis. The hash tag keeps all keys of a user in one slot.
    pub(in crate::storage::redis) fn name(self, epoch: Epoch) -> String {
        match self {
            Self::Inbox(user) => format!("tl:{epoch}:notice:{{{user}}}"),
            Self::Watch(conversation) => format!("tl:{epoch}:watch:{{{conversation}}}"),
            Self::Node(node) => format!("tl:{epoch}:present:{{{}}}", node.0),
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        let (kind, id) = name.strip_suffix('}')?.rsplit_once('{')?;
        let id = Uuid::try_parse(id).ok()?;
        Some(match kind.rsplit(':').nth(1) {
            Some("watch") => Self::Watch(ConversationId(id)),
            Some("present") => Self::Node(NodeId(id)),
            _ => Self::Inbox(UserId(id)),
        })
    }
}
