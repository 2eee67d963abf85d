//! Who may see and do what.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who may see or do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Everyone.
    Everyone,
    /// The people on the user's list of contacts.
    Contacts,
    /// Nobody.
    Nobody,
}

impl Audience {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Everyone, Self::Contacts, Self::Nobody];

    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Everyone => "everyone",
            Self::Contacts => "contacts",
            Self::Nobody => "nobody",
        }
    }
}

/// What a user has chosen. Null: what the operator has set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PrivacyChoices {
    /// Who sees the user's presence.
    #[schema(required = true)]
    pub presence: Option<Audience>,
    /// Who sees when the user was last online.
    #[schema(required = true)]
    pub last_seen: Option<Audience>,
    /// Who may create a direct conversation with the user. Existing ones are not affected.
    #[schema(required = true)]
    pub direct: Option<Audience>,
    /// Who may add the user to groups.
    #[schema(required = true)]
    pub group_add: Option<Audience>,
    /// Who may ask the user to become friends.
    #[schema(required = true)]
    pub contact_request: Option<Audience>,
    /// Who may count the friends in common with the user.
    #[schema(required = true)]
    pub contacts_visible: Option<Audience>,
    /// Whether a search by the beginning of a username finds the user.
    #[schema(required = true)]
    pub discoverable: Option<bool>,
}

/// What holds for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EffectivePrivacy {
    /// Who sees the user's presence.
    pub presence: Audience,
    /// Who sees when the user was last online.
    pub last_seen: Audience,
    /// Who may create a direct conversation with the user.
    pub direct: Audience,
    /// Who may add the user to groups.
    pub group_add: Audience,
    /// Who may ask the user to become friends.
    pub contact_request: Audience,
    /// Who may count the friends in common with the user.
    pub contacts_visible: Audience,
    /// Whether a search by the beginning of a username finds the user.
    pub discoverable: bool,
}

impl Default for EffectivePrivacy {
    fn default() -> Self {
        Self {
            presence: Audience::Everyone,
            last_seen: Audience::Contacts,
            direct: Audience::Everyone,
            group_add: Audience::Everyone,
            contact_request: Audience::Everyone,
            contacts_visible: Audience::Contacts,
            discoverable: true,
        }
    }
}

impl EffectivePrivacy {
    /// These defaults, with what a user has chosen.
    pub fn with(self, choices: PrivacyChoices) -> Self {
        Self {
            presence: choices.presence.unwrap_or(self.presence),
            last_seen: choices.last_seen.unwrap_or(self.last_seen),
            direct: choices.direct.unwrap_or(self.direct),
            group_add: choices.group_add.unwrap_or(self.group_add),
            contact_request: choices.contact_request.unwrap_or(self.contact_request),
            contacts_visible: choices.contacts_visible.unwrap_or(self.contacts_visible),
            discoverable: choices.discoverable.unwrap_or(self.discoverable),
        }
    }
}

/// The privacy settings of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Privacy {
    /// What the caller has chosen.
    #[serde(flatten)]
    #[schema(inline)]
    pub choices: PrivacyChoices,
    /// Others see what the caller has read, and the caller sees what they have read. Off: neither.
    pub read_receipts: bool,
    /// Messages of the caller that others forward name the caller.
    pub forward_name: bool,
    /// What holds: the choices, and for the others what the operator has set.
    pub effective: EffectivePrivacy,
}
