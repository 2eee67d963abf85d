//! Contacts, and requests to become friends.

use crate::model::time::Timestamp;
use crate::model::wire::user::User;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The most contacts of a user who adds one.
pub const MAX_CONTACTS: i64 = 5_000;

/// The most tags of a contact.
pub const MAX_TAGS: usize = 32;

/// The most requests of a user that are pending.
pub const MAX_REQUESTS: i64 = 200;

/// What a contact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContactState {
    /// On the list of the owner, which the other does not know.
    Contact,
    /// Each is on the list of the other.
    Friend,
}

impl ContactState {
    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::Friend => "friend",
        }
    }
}

/// A person on the caller's list. Alias, tags and star are the caller's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Contact {
    /// The person.
    pub user: User,
    /// A contact, or a friend.
    pub state: ContactState,
    /// The caller's own name for the person.
    #[schema(required = true, example = "Ann from work")]
    pub alias: Option<String>,
    /// The caller's own tags of the person.
    #[schema(example = json!(["work"]))]
    pub tags: Vec<String>,
    /// The caller has starred the person.
    pub starred: bool,
    /// When the person was added.
    pub created_at: Timestamp,
    /// Since when the two are friends.
    #[schema(required = true)]
    pub friends_since: Option<Timestamp>,
}

/// Who has asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The other person.
    In,
    /// The caller.
    Out,
}

/// What has become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// The other has not accepted it. A request that was declined stays pending for the person who asked.
    Pending,
    /// The two are friends.
    Accepted,
    /// It was not accepted in 30 days.
    Expired,
}

/// A request to become friends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ContactRequest {
    /// The other person.
    pub user: User,
    /// Who has asked.
    pub direction: Direction,
    /// What has become of it.
    pub state: RequestState,
    /// What the person who asks says.
    #[schema(required = true, example = "We met at the harbour")]
    pub message: Option<String>,
    /// Of a request to the caller: how many friends the two had in common, up to 1,000.
    #[schema(required = true)]
    pub mutual_count: Option<i32>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
}
