//! Events of read positions.

use crate::model::events::spec::{EventSpec, Reference, Referenced};
use crate::model::wire::entry::Event;

/// The receiver has read up to a message.
pub static READ: EventSpec = EventSpec {
    name: "read",
    kind: "read",
    reference: Reference::Position,
    wire: |referenced| match referenced {
        Referenced::Position(read_seq) => Some(Event::Read {
            read_seq,
            marked_unread: false,
        }),
        _ => None,
    },
};

/// The receiver has marked the conversation as unread; or has it marked, and the read position has moved over recalled messages.
pub static MARKED_UNREAD: EventSpec = EventSpec {
    name: "unread",
    kind: "read",
    reference: Reference::Position,
    wire: |referenced| match referenced {
        Referenced::Position(read_seq) => Some(Event::Read {
            read_seq,
            marked_unread: true,
        }),
        _ => None,
    },
};
