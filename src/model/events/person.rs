//! Events of the receiver's relation with a person. Their rows have the id of the person in place of a conversation's.

use crate::model::events::spec::{EventSpec, Reference, Referenced};
use crate::model::wire::entry::Event;

/// The receiver's contact has changed.
pub static CONTACT: EventSpec = EventSpec {
    name: "contact",
    kind: "contact",
    reference: Reference::Contact,
    wire: |referenced| match referenced {
        Referenced::Contact(user_id, contact) => Some(Event::Contact { user_id, contact }),
        _ => None,
    },
};

/// The receiver's request has changed.
pub static CONTACT_REQUEST: EventSpec = EventSpec {
    name: "contact_request",
    kind: "contact_request",
    reference: Reference::ContactRequest,
    wire: |referenced| match referenced {
        Referenced::ContactRequest(user_id, request) => {
            Some(Event::ContactRequest { user_id, request })
        }
        _ => None,
    },
};
