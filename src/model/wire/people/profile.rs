//! Profiles, and the caller's own account.

use crate::model::wire::user::User;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// All that a user shows others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Profile {
    /// The user.
    #[serde(flatten)]
    pub user: User,
    /// A text about the user.
    #[schema(required = true, example = "Sails on Sundays")]
    pub bio: Option<String>,
    /// What integrations store about the user, by keys of `a-z`, `0-9`, `_` and `.`.
    #[schema(value_type = Object, example = json!({"team": "harbour"}))]
    pub attributes: Map<String, Value>,
}

/// The caller's own account: the profile, and settings that only the caller sees. Its `status` has the availability.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Account {
    /// The profile.
    #[serde(flatten)]
    pub profile: Profile,
    /// Others see what the caller has read, and the caller sees what they have read. Off: neither.
    pub read_receipts: bool,
    /// Messages of the caller that others forward name the caller. Forwards keep what was set at their time.
    pub forward_name: bool,
}
