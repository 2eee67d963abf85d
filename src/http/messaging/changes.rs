//! Changes of stored messages: recall, edit, old versions.

use crate::domain::messaging::changes;
use crate::engine::admission::Admission;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Body, Handle, MessageIds, charge_more, people_cost, replayed};
use crate::http::kit::problem::Problem;
use crate::model::account::Caller;
use crate::model::ids::MAX_SEQ;
use crate::model::rate_limit::Subject;
use crate::model::strict::Strict;
use crate::model::validators::within;
use crate::model::wire::content::MAX_MENTIONS;
use crate::model::wire::message::{Message, MessageVersion};
use actix_web::{HttpRequest, HttpResponse, web};
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A new version of a message.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"version": 1, "content": {"text": "hi Ben!"}}))]
pub struct EditMessageRequest {
    /// The version that the caller has seen. The first version, as sent, is 1.
    #[garde(custom(within(1..=MAX_SEQ)))]
    #[schema(minimum = 1)]
    version: i64,
    /// The new content, of the kind of the message.
    #[garde(skip)]
    #[schema(value_type = Object)]
    content: Strict,
}

/// The versions of a message.
#[derive(Serialize, ToSchema)]
pub struct MessageVersions {
    /// Oldest first. The last one is the present version.
    versions: Vec<MessageVersion>,
}

/// Edit a message
///
/// Replaces the content of a text or custom message of the caller, within `limits.edit_seconds` after its send. `version` is the one
/// that the caller has seen: if it is not the present one, nothing is changed, and the problem has the message as it is now. A repeat
/// is safe. In a small conversation every member gets an `edit` entry. In a large one, read `changed_since`.
#[utoipa::path(patch, path = "/v1/conversations/{id}/messages/{seq}", tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation"),
        ("seq" = i64, Path, description = "The seq of the message in the conversation", minimum = 1)),
    request_body = EditMessageRequest,
    responses((status = 200, description = "The message as it is now", body = Message,
        headers(("Idempotent-Replayed" = String, description = "`true`, if the same edit was stored before")))),
    extensions(("x-problems" = json!(["validation", "forbidden", "muted", "blocked", "not_found", "message_gone", "version_conflict",
        "window_closed", "limit_reached"]))))]
pub async fn edit_message(
    request: HttpRequest,
    delivery: Handle<Delivery>,
    caller: Caller,
    MessageIds(conversation, seq): MessageIds,
    Body(body): Body<EditMessageRequest>,
) -> Result<HttpResponse, Problem> {
    // No message has a version beyond the range of i32.
    let version = i32::try_from(body.version).unwrap_or(i32::MAX);
    let content = body.content;
    // The kind of the message is not known yet.
    let named = content.0.get("mentions").and_then(Value::as_array);
    let cost = people_cost(named.map_or(0, Vec::len).min(MAX_MENTIONS)) - 1;
    charge_more(&request, &Subject::User(caller.user), cost).await?;
    let edited = changes::edit(&delivery, caller, conversation, seq, version, content).await?;
    let mut response = match edited.replayed {
        true => replayed(),
        false => HttpResponse::Ok(),
    };
    Ok(response.json(edited.message))
}

/// Recall a message
///
/// Erases the content of a message for everyone. Its place stays: the seq, the sender and the ids. The sender may recall it within
/// `limits.recall_seconds` after its send; the owner, and for messages of others than the owner the admins, at any time. In a small
/// conversation every member gets a `recall` entry. In a large one, the sender does, and others read `changed_since`.
#[utoipa::path(delete, path = "/v1/conversations/{id}/messages/{seq}", tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation"),
        ("seq" = i64, Path, description = "The seq of the message in the conversation", minimum = 1)),
    responses((status = 200, description = "What is left of the message; again for a recalled one", body = Message)),
    extensions(("x-problems" = json!(["forbidden", "not_found", "window_closed"]))))]
pub async fn recall_message(
    delivery: Handle<Delivery>,
    caller: Caller,
    MessageIds(conversation, seq): MessageIds,
) -> Result<web::Json<Message>, Problem> {
    let message = changes::recall(&delivery, caller, conversation, seq).await?;
    Ok(web::Json(message))
}

/// Read the versions of a message
///
/// The operator decides who may: every member (default), the sender, the owner and the admins, or nobody. A recall erases all versions.
#[utoipa::path(get, path = "/v1/conversations/{id}/messages/{seq}/versions", tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation"),
        ("seq" = i64, Path, description = "The seq of the message in the conversation", minimum = 1)),
    responses((status = 200, description = "The versions", body = MessageVersions)),
    extensions(("x-problems" = json!(["forbidden", "not_found", "message_gone"]))))]
pub async fn list_versions(
    delivery: Handle<Delivery>,
    admission: Handle<Admission>,
    caller: Caller,
    MessageIds(conversation, seq): MessageIds,
) -> Result<web::Json<MessageVersions>, Problem> {
    let versions = changes::versions(&delivery, &admission, caller, conversation, seq).await?;
    Ok(web::Json(MessageVersions { versions }))
}
