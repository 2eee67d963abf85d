//! What the owner of a contact notes, and which contacts a page has.

use crate::model::wire::people::contact::ContactState;

/// What the owner of a contact has noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactNotes {
    /// The owner's own name for the person.
    pub alias: Option<String>,
    /// The tags.
    pub tags: Vec<String>,
    /// Whether it is starred.
    pub starred: bool,
}

/// Which contacts a page has.
#[derive(Clone, Debug)]
pub struct ContactFilter {
    /// Only those in this state.
    pub state: Option<ContactState>,
    /// Only those with this tag.
    pub tag: Option<String>,
}
