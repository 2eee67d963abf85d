//! Events of conversations and their members.

use crate::model::events::spec::{EventSpec, Reference, Referenced};
use crate::model::wire::entry::Event;

/// A conversation is new to the receiver, or has changed.
pub static CONVERSATION: EventSpec = EventSpec {
    name: "conversation",
    kind: "conversation",
    reference: Reference::Conversation,
    wire: |referenced| match referenced {
        Referenced::Conversation(conversation) => Some(Event::Conversation { conversation }),
        _ => None,
    },
};

/// The receiver is no longer a member.
pub static LEFT: EventSpec = EventSpec {
    name: "left",
    kind: "conversation",
    reference: Reference::Position,
    wire: |_| Some(Event::Conversation { conversation: None }),
};

/// Members joined or left, or roles or mutes changed.
pub static MEMBERS: EventSpec = EventSpec {
    name: "members",
    kind: "members",
    reference: Reference::MembersChange,
    wire: |referenced| match referenced {
        Referenced::MembersChange(change) => Some(Event::Members(change)),
        _ => None,
    },
};
