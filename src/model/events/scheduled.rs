//! Events of scheduled messages.

use crate::model::events::spec::{EventSpec, Reference, Referenced};
use crate::model::wire::entry::Event;

/// A scheduled message of the receiver could not be sent.
pub static SCHEDULED_FAILED: EventSpec = EventSpec {
    name: "scheduled_failed",
    kind: "scheduled_failed",
    reference: Reference::ScheduledFailure,
    wire: |referenced| match referenced {
        Referenced::ScheduledFailure(failed) => Some(Event::ScheduledFailed(failed)),
        _ => None,
    },
};
