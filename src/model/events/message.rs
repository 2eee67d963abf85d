//! Events that bring a message as it is now.

use crate::model::events::spec::{EventSpec, Reference, Referenced};
use crate::model::wire::entry::Event;

/// A message was stored.
pub static MESSAGE: EventSpec = EventSpec {
    name: "message",
    kind: "message",
    reference: Reference::Message,
    wire: |referenced| match referenced {
        Referenced::Message(message) => Some(Event::Message { message }),
        _ => None,
    },
};

/// A message names the receiver.
pub static MENTION: EventSpec = EventSpec {
    name: "mention",
    kind: "mention",
    reference: Reference::Message,
    wire: |referenced| match referenced {
        Referenced::Message(message) => Some(Event::Mention { message }),
        _ => None,
    },
};

/// A message has a new version.
pub static EDIT: EventSpec = EventSpec {
    name: "edit",
    kind: "edit",
    reference: Reference::Message,
    wire: |referenced| match referenced {
        Referenced::Message(message) => Some(Event::Edit { message }),
        _ => None,
    },
};

/// A message was recalled.
pub static RECALL: EventSpec = EventSpec {
    name: "recall",
    kind: "recall",
    reference: Reference::Message,
    wire: |referenced| match referenced {
        Referenced::Message(message) => Some(Event::Recall { message }),
        _ => None,
    },
};

/// The reactions to a message have changed.
pub static REACTION: EventSpec = EventSpec {
    name: "reaction",
    kind: "reaction",
    reference: Reference::Message,
    wire: |referenced| match referenced {
        Referenced::Message(message) => Some(Event::Reaction { message }),
        _ => None,
    },
};

/// A message was pinned, or is no longer pinned.
pub static PIN: EventSpec = EventSpec {
    name: "pin",
    kind: "pin",
    reference: Reference::Message,
    wire: |referenced| match referenced {
        Referenced::Message(message) => Some(Event::Pin { message }),
        _ => None,
    },
};
