//! Service desks, and who serves them.

use crate::model::ids::UserId;
use crate::model::time::Timestamp;
use crate::model::wire::people::presence::PresenceState;
use crate::model::wire::user::User;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The most seats of a desk.
pub const MAX_SEATS: i64 = 500;

/// The most skills of a desk.
pub const MAX_SKILLS: usize = 64;

/// The most desks that a user creates.
pub const MAX_DESKS: i64 = 100;

/// What somebody may do at a desk. Each role may also do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeatRole {
    /// Answers customers.
    Agent,
    /// Changes the skills and the capacity of agents, and ends their availability.
    Supervisor,
    /// Changes the desk, its skills, and who serves it.
    Admin,
}

impl SeatRole {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Agent, Self::Supervisor, Self::Admin];

    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Supervisor => "supervisor",
            Self::Admin => "admin",
        }
    }
}

/// The seat of somebody who serves a desk. Only the staff of the desk reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Seat {
    /// The desk.
    pub desk_id: UserId,
    /// Who has the seat.
    pub user: User,
    /// What the user may do.
    pub role: SeatRole,
    /// The name under which the user answers; null: the desk's name.
    #[schema(required = true, example = "Ann")]
    pub alias: Option<String>,
    /// The skills of the user, in the order of the desk's skills.
    #[schema(example = json!(["returns"]))]
    pub skills: Vec<String>,
    /// How many cases the user has at most.
    #[schema(minimum = 1, maximum = 100, example = 3)]
    pub capacity: i64,
    /// How many the user has, with open offers.
    #[schema(minimum = 0, example = 0)]
    pub load: i16,
    /// The user takes new cases. Only the user's own call makes it true.
    pub available: bool,
    /// Why the user is not available, as far as it is known.
    #[schema(required = true, example = "lunch")]
    pub why: Option<String>,
    /// What the devices of the user show while the seat is available; `unknown` otherwise.
    pub presence: PresenceState,
    /// How many offers in a row the user has missed.
    #[schema(minimum = 0, example = 0)]
    pub missed: i16,
    /// When the user was last given a case; at first, when the seat was made.
    pub given_at: Timestamp,
    /// The number of the seat's state. It grows with each change.
    #[schema(minimum = 1, example = 1)]
    pub version: i64,
}
