//! Messages that the caller takes from the own view.

use crate::domain::messaging::hidden;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Body, Handle, Ids, charge_more, people_cost};
use crate::http::kit::problem::Problem;
use crate::model::account::Caller;
use crate::model::ids::{ConvSeq, ConversationId, MAX_SEQ};
use crate::model::rate_limit::Subject;
use crate::model::validators::{items, within};
use actix_web::{HttpRequest, HttpResponse};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

/// The most messages of one request.
const SEQS: usize = 100;

/// Messages to hide.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"seqs": [3, 17]}))]
pub struct HideMessagesRequest {
    /// 1 to 100 seqs of messages of the conversation.
    #[garde(custom(items(1..=SEQS)), inner(custom(within(1..=MAX_SEQ))))]
    #[schema(min_items = 1, max_items = 100, value_type = Vec<ConvSeq>)]
    seqs: Vec<i64>,
}

/// A history to clear.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"seq": 12}))]
pub struct ClearHistoryRequest {
    /// The seq of the last message to clear. A seq below `first_seq` changes nothing.
    #[garde(skip)]
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    seq: i64,
}

/// Hide messages
///
/// For the caller alone, and for good: everywhere in their places the caller reads stubs of kind `hidden`. The caller's devices get a
/// `hidden` entry for each. At most `limits.hidden` messages of a conversation are hidden; clearing the history makes room.
#[utoipa::path(put, path = "/v1/conversations/{id}/hidden", tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation")), request_body = HideMessagesRequest,
    responses((status = 204, description = "The messages are hidden")),
    extensions(("x-problems" = json!(["not_found", "limit_reached"]))))]
pub async fn hide_messages(
    request: HttpRequest,
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id]): Ids<1>,
    Body(body): Body<HideMessagesRequest>,
) -> Result<HttpResponse, Problem> {
    // An entry each.
    let cost = people_cost(body.seqs.len()) - 1;
    charge_more(&request, &Subject::User(caller.user), cost).await?;
    let seqs = body.seqs.into_iter().map(ConvSeq).collect();
    hidden::hide(&delivery, caller, ConversationId(id), seqs).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Clear the history
///
/// For the caller alone, and for good: messages up to the seq are no longer visible, and count as read. The caller's devices get a
/// `cleared` entry.
#[utoipa::path(put, path = "/v1/conversations/{id}/cleared", tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation")), request_body = ClearHistoryRequest,
    responses((status = 204, description = "The history is cleared")),
    extensions(("x-problems" = json!(["not_found"]))))]
pub async fn clear_history(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id]): Ids<1>,
    Body(body): Body<ClearHistoryRequest>,
) -> Result<HttpResponse, Problem> {
    let seq = ConvSeq::parse("/seq", body.seq)?;
    hidden::clear(&delivery, caller, ConversationId(id), seq).await?;
    Ok(HttpResponse::NoContent().finish())
}
