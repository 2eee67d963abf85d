//! Pinned messages.

use crate::domain::messaging::pins;
use crate::engine::admission::Admission;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Handle, Ids, MessageIds};
use crate::http::kit::problem::Problem;
use crate::model::account::Caller;
use crate::model::ids::{ChangeSeq, ConversationId};
use crate::model::wire::message::Message;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

/// The pinned messages of a conversation.
#[derive(Serialize, ToSchema)]
pub struct PinnedMessages {
    /// The newest pin first.
    messages: Vec<Message>,
    /// The number of changes that the list includes. To learn of later ones, send it as `changed_since`.
    change_seq: ChangeSeq,
}

/// Pin a message
///
/// In a group, the owner and the admins may, and others if `pinning` is `all`; in a direct conversation both people. A conversation has
/// at most `limits.pins` pinned messages. A message that is pinned already stays as it is. In a small conversation every member gets a
/// `pin` entry. In a large one, read `changed_since`. A recall ends the pin.
#[utoipa::path(put, path = "/v1/conversations/{id}/pins/{seq}", tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation"),
        ("seq" = i64, Path, description = "The seq of the message in the conversation", minimum = 1)),
    responses((status = 204, description = "The message is pinned")),
    extensions(("x-problems" = json!(["forbidden", "muted", "blocked", "not_found", "message_gone", "limit_reached"]))))]
pub async fn pin_message(
    delivery: Handle<Delivery>,
    caller: Caller,
    MessageIds(conversation, seq): MessageIds,
) -> Result<HttpResponse, Problem> {
    pins::pin(&delivery, caller, conversation, seq, true).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Unpin a message
///
/// For those who may pin messages. A message that is not pinned stays as it is. Entries are the same as of a pin.
#[utoipa::path(delete, path = "/v1/conversations/{id}/pins/{seq}", tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation"),
        ("seq" = i64, Path, description = "The seq of the message in the conversation", minimum = 1)),
    responses((status = 204, description = "The message is not pinned")),
    extensions(("x-problems" = json!(["forbidden", "not_found", "message_gone"]))))]
pub async fn unpin_message(
    delivery: Handle<Delivery>,
    caller: Caller,
    MessageIds(conversation, seq): MessageIds,
) -> Result<HttpResponse, Problem> {
    pins::pin(&delivery, caller, conversation, seq, false).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// List the pinned messages
#[utoipa::path(get, path = "/v1/conversations/{id}/pins", tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation")),
    responses((status = 200, description = "The pinned messages that the caller may see", body = PinnedMessages)),
    extensions(("x-problems" = json!(["not_found"]))))]
pub async fn list_pins(
    delivery: Handle<Delivery>,
    admission: Handle<Admission>,
    caller: Caller,
    Ids([id]): Ids<1>,
) -> Result<web::Json<PinnedMessages>, Problem> {
    let id = ConversationId(id);
    let (messages, change_seq) = pins::list(&delivery, &admission, caller, id).await?;
    Ok(web::Json(PinnedMessages {
        messages,
        change_seq,
    }))
}
