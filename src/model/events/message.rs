//! Events that bring a message.

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
