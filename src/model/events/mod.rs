//! The table of inbox events. A new event gets its variant of `Event`, a spec in the file of its family, and a row here.

pub mod membership;
pub mod message;
pub mod own;
pub mod person;
pub mod receipt;
pub mod scheduled;
pub mod spec;

use crate::model::events::spec::{EventSpec, Reference};

/// Every event.
pub static EVENTS: &[&EventSpec] = &[
    &message::MESSAGE,
    &message::MENTION,
    &message::EDIT,
    &message::RECALL,
    &message::REACTION,
    &receipt::READ,
    &receipt::MARKED_UNREAD,
    &membership::CONVERSATION,
    &membership::LEFT,
    &membership::MEMBERS,
    &own::SETTINGS,
    &own::DRAFT,
    &own::CLEARED,
    &own::HIDDEN,
    &scheduled::SCHEDULED_FAILED,
    &message::PIN,
    &own::ME,
    &person::CONTACT,
    &person::CONTACT_REQUEST,
];

/// The event of this name; nothing for one that a newer node has written.
pub fn find(name: &str) -> Option<&'static EventSpec> {
    EVENTS.iter().copied().find(|event| event.name == name)
}

/// The names of the events whose `ref_seq` means this.
pub fn names(reference: Reference) -> Vec<&'static str> {
    let events = EVENTS.iter().filter(|event| event.reference == reference);
    events.map(|event| event.name).collect()
}
