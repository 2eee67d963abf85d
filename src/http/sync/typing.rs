//! Who types.

use crate::domain::sync::typing;
use crate::engine::admission::Admission;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Body, Handle, Ids};
use crate::http::kit::problem::Problem;
use crate::model::account::Caller;
use crate::model::ids::ConversationId;
use actix_web::HttpResponse;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

/// Whether the caller types.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"typing": true}))]
pub struct UpdateTypingRequest {
    /// The caller types.
    #[garde(skip)]
    typing: bool,
}

/// Tell that the caller types
///
/// Repeat it every 5 seconds while the caller types. Typing ends 8 seconds after the last request, with `typing: false`, and with a
/// message of the caller. It is shown to the members whose waits name the conversation in `typing`, and never stored. The response is the
/// same when it is shown to nobody: in channels, in conversations with more than `limits.typing_members` members, to a muted or blocked
/// caller, and for a repeat within 2 seconds.
#[utoipa::path(put, path = "/v1/conversations/{id}/typing", tag = "Sync",
    params(("id" = Uuid, Path, description = "The conversation")), request_body = UpdateTypingRequest,
    responses((status = 204, description = "Accepted")),
    extensions(("x-problems" = json!(["not_found"]))))]
pub async fn update_typing(
    delivery: Handle<Delivery>,
    admission: Handle<Admission>,
    caller: Caller,
    Ids([id]): Ids<1>,
    Body(body): Body<UpdateTypingRequest>,
) -> Result<HttpResponse, Problem> {
    let id = ConversationId(id);
    typing::update(&delivery, &admission, caller, id, body.typing).await?;
    Ok(HttpResponse::NoContent().finish())
}
