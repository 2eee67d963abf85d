//! Events of what one member alone sees: they reach the member's own devices.

use crate::model::events::spec::{EventSpec, Reference, Referenced};
use crate::model::wire::entry::Event;

/// The receiver's own account has changed.
pub static ME: EventSpec = EventSpec {
    name: "me",
    kind: "me",
    reference: Reference::Position,
    wire: |_| Some(Event::Me {}),
};

/// The receiver has cleared the history up to a seq.
pub static CLEARED: EventSpec = EventSpec {
    name: "cleared",
    kind: "cleared",
    reference: Reference::Position,
    wire: |referenced| match referenced {
        Referenced::Position(cleared_seq) => Some(Event::Cleared { cleared_seq }),
        _ => None,
    },
};

/// The receiver has hidden a message.
pub static HIDDEN: EventSpec = EventSpec {
    name: "hidden",
    kind: "hidden",
    reference: Reference::Position,
    wire: |referenced| match referenced {
        Referenced::Position(hidden_seq) => Some(Event::Hidden { hidden_seq }),
        _ => None,
    },
};

/// The receiver has stored or deleted a draft.
pub static DRAFT: EventSpec = EventSpec {
    name: "draft",
    kind: "draft",
    reference: Reference::Draft,
    wire: |referenced| match referenced {
        Referenced::Draft(draft) => Some(Event::Draft { draft }),
        _ => None,
    },
};

/// The receiver has changed the settings of a conversation.
pub static SETTINGS: EventSpec = EventSpec {
    name: "settings",
    kind: "settings",
    reference: Reference::Settings,
    wire: |referenced| match referenced {
        Referenced::Settings(settings) => Some(Event::Settings { settings }),
        _ => None,
    },
};
