//! Messages that are sent later.

use crate::domain::messaging::scheduled;
use crate::engine::admission::Admission;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Body, Handle, Ids, Query, charge_more, limit, people_cost};
use crate::http::kit::optional::given;
use crate::http::kit::problem::Problem;
use crate::http::messaging::new_message::SendMessage;
use crate::model::account::Caller;
use crate::model::ids::{ClientMsgId, ConversationId};
use crate::model::page::from_cursor;
use crate::model::rate_limit::Subject;
use crate::model::strict::Strict;
use crate::model::time::Timestamp;
use crate::model::wire::scheduled::ScheduledMessage;
use actix_web::{HttpRequest, HttpResponse, web};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A message to send later.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"conversation_id": "0199a3c0-0000-7000-8000-0000000000c1", "send_at": "2026-12-24T18:00:00.000Z",
    "kind": "text", "content": {"text": "Merry Christmas"}}))]
pub struct ScheduleMessageRequest {
    /// The conversation.
    #[garde(skip)]
    conversation_id: ConversationId,
    /// When to send it, at most 365 days from now. A time that has passed: immediately.
    #[garde(skip)]
    send_at: Timestamp,
    /// The kind, as of a send.
    #[garde(skip)]
    #[schema(example = "text")]
    kind: String,
    /// The content, as of a send.
    #[garde(skip)]
    #[schema(value_type = Object)]
    content: Strict,
    /// As of a send.
    #[garde(skip)]
    #[serde(default, deserialize_with = "given")]
    #[schema(required = false, nullable = false, minimum = 1)]
    reply_to: Option<i64>,
    /// As of a send.
    #[garde(skip)]
    #[serde(default, deserialize_with = "given")]
    #[schema(required = false, nullable = false)]
    mention_all: Option<bool>,
    /// As of a send: the time begins with it.
    #[garde(skip)]
    #[serde(default, deserialize_with = "given")]
    #[schema(required = false, nullable = false, minimum = 10, maximum = 31536000)]
    expires_in: Option<i64>,
}

/// The requested page of the caller's scheduled messages.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListScheduledQuery {
    /// The size of the page, 1 to 500. Default: 100.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// A page of scheduled messages.
#[derive(Serialize, ToSchema)]
pub struct ScheduledPage {
    /// The messages, ordered by id. A page may be shorter than `limit`.
    scheduled: Vec<ScheduledMessage>,
    /// The `cursor` for the next page; null on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// Schedule a message
///
/// It is sent at its time under its `client_msg_id`, as a send at that time: once, and with the rights that the caller has then. If it
/// cannot be sent, the caller's devices get a `scheduled_failed` entry. A repeat replaces what was scheduled under the id.
#[utoipa::path(put, path = "/v1/me/scheduled/{client_msg_id}", tag = "Messages",
    params(("client_msg_id" = Uuid, Path, description = "The caller's id of the message")),
    request_body = ScheduleMessageRequest,
    responses((status = 200, description = "The message as scheduled", body = ScheduledMessage)),
    extensions(("x-problems" = json!(["not_found", "limit_reached", "window_closed"]))))]
pub async fn update_scheduled(
    request: HttpRequest,
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id]): Ids<1>,
    Body(body): Body<ScheduleMessageRequest>,
) -> Result<web::Json<ScheduledMessage>, Problem> {
    let message = SendMessage {
        client_msg_id: ClientMsgId(id),
        kind: Some(body.kind),
        content: Some(body.content),
        reply_to: body.reply_to,
        mention_all: body.mention_all,
        expires_in: body.expires_in,
        forward: None,
    };
    let (conversation, message) = (body.conversation_id, message.parse("")?);
    let cost = people_cost(message.mentions().len()) - 1;
    charge_more(&request, &Subject::User(caller.user), cost).await?;
    let stored = scheduled::put(&delivery, caller, conversation, body.send_at, message).await?;
    Ok(web::Json(stored))
}

/// Cancel a scheduled message
///
/// A repeat is safe. While the message is being sent it cannot be cancelled.
#[utoipa::path(delete, path = "/v1/me/scheduled/{client_msg_id}", tag = "Messages",
    params(("client_msg_id" = Uuid, Path, description = "The caller's id of the message")),
    responses((status = 204, description = "No message is scheduled under this id")),
    extensions(("x-problems" = json!(["not_found", "window_closed"]))))]
pub async fn delete_scheduled(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id]): Ids<1>,
) -> Result<HttpResponse, Problem> {
    scheduled::delete(&delivery, caller, ClientMsgId(id)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// List the caller's scheduled messages
#[utoipa::path(get, path = "/v1/me/scheduled", tag = "Messages", params(ListScheduledQuery),
    responses((status = 200, description = "A page", body = ScheduledPage)),
    extensions(("x-problems" = json!(["validation"]))))]
pub async fn list_scheduled(
    delivery: Handle<Delivery>,
    admission: Handle<Admission>,
    caller: Caller,
    Query(query): Query<ListScheduledQuery>,
) -> Result<web::Json<ScheduledPage>, Problem> {
    let limit = limit(query.limit)?;
    let after = query.cursor.as_deref().map(from_cursor).transpose()?;
    let page = scheduled::page(&delivery, &admission, caller, after, limit).await?;
    Ok(web::Json(ScheduledPage {
        scheduled: page.items,
        next_cursor: page.next_cursor,
    }))
}
