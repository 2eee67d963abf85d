//! Read receipts.

use crate::model::ids::UserId;
use serde::Serialize;
use utoipa::ToSchema;

/// What has become of a message at one member.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Receipt {
    /// The member.
    pub user_id: UserId,
    /// The member has read it.
    pub read: bool,
    /// A device of the member has it. True if the member has read it.
    pub delivered: bool,
}
