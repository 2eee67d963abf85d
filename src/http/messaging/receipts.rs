//! Read receipts of messages.

use crate::domain::messaging::receipts;
use crate::engine::admission::Admission;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Handle, MessageIds, PeopleQuery, Query, limit};
use crate::http::kit::problem::Problem;
use crate::model::account::Caller;
use crate::model::wire::receipt::Receipt;
use actix_web::web;
use serde::Serialize;
use utoipa::ToSchema;

/// A page of receipts.
#[derive(Serialize, ToSchema)]
pub struct ReceiptPage {
    /// The number of members that have read the message.
    readers: usize,
    /// The number of members to whom it was delivered, those that have read it included.
    delivered: usize,
    /// The number of members that may see the message, without its sender and without those that hide what they read.
    eligible: usize,
    /// Those members, ordered by user id.
    members: Vec<Receipt>,
    /// The `cursor` for the next page; null on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// Read the receipts of a message
///
/// For its sender, and in groups for the owner and the admins. A member that has switched `read_receipts` of `PATCH /v1/me` off is in
/// no receipt, and sees none. Large conversations have no receipts. `delivered` may be some seconds late.
#[utoipa::path(get, path = "/v1/conversations/{id}/messages/{seq}/receipts", tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation"),
        ("seq" = i64, Path, description = "The seq of the message in the conversation", minimum = 1), PeopleQuery),
    responses((status = 200, description = "A page", body = ReceiptPage)),
    extensions(("x-problems" = json!(["validation", "forbidden", "not_found", "message_gone", "limit_reached"]))))]
pub async fn list_receipts(
    delivery: Handle<Delivery>,
    admission: Handle<Admission>,
    caller: Caller,
    MessageIds(conversation, seq): MessageIds,
    Query(query): Query<PeopleQuery>,
) -> Result<web::Json<ReceiptPage>, Problem> {
    let (limit, after) = (limit(query.limit)?, query.after()?);
    let of = (conversation, seq);
    let receipts = receipts::list(&delivery, &admission, caller, of, after, limit).await?;
    Ok(web::Json(ReceiptPage {
        readers: receipts.readers,
        delivered: receipts.delivered,
        eligible: receipts.eligible,
        members: receipts.page.items,
        next_cursor: receipts.page.next_cursor,
    }))
}
