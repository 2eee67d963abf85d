//! The caller's read position in a conversation, and the mark as unread.

use crate::domain::messaging::messages;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Body, Handle, Ids};
use crate::http::kit::problem::Problem;
use crate::model::account::Caller;
use crate::model::ids::{ConvSeq, ConversationId};
use crate::model::wire::unread::ReadMark;
use actix_web::{HttpResponse, web};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

/// A read position.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"seq": 12}))]
pub struct MarkReadRequest {
    /// The seq of the last message that was read. A position below the current one changes nothing.
    #[garde(skip)]
    #[schema(minimum = 0)]
    seq: i64,
}

/// Mark as read
///
/// Moves the caller's read position forward, for all of the caller's devices. A lower position does not move it. Ends a mark as unread.
#[utoipa::path(put, path = "/v1/conversations/{id}/read", tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation")), request_body = MarkReadRequest,
    responses((status = 200, description = "The position and the counts", body = ReadMark)),
    extensions(("x-problems" = json!(["not_found"]))))]
pub async fn mark_read(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id]): Ids<1>,
    Body(body): Body<MarkReadRequest>,
) -> Result<web::Json<ReadMark>, Problem> {
    let seq = ConvSeq::parse("/seq", body.seq)?;
    let mark = messages::mark_read(&delivery, caller, ConversationId(id), seq).await?;
    Ok(web::Json(mark))
}

/// Mark as unread
///
/// Sets a mark for all of the caller's devices, which get a `read` entry. The read position and the counts stay as they are. A read
/// mark and a message of the caller's end the mark.
#[utoipa::path(put, path = "/v1/conversations/{id}/marked_unread", tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation")),
    responses((status = 204, description = "The conversation is marked")),
    extensions(("x-problems" = json!(["not_found"]))))]
pub async fn mark_unread(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id]): Ids<1>,
) -> Result<HttpResponse, Problem> {
    messages::mark_unread(&delivery, caller, ConversationId(id)).await?;
    Ok(HttpResponse::NoContent().finish())
}
