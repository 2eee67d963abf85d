//! Messages: send.

use crate::domain::messaging::sends;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::writer::commands::send::Sent;
use crate::http::kit::extractors::{Body, Handle, Ids, charge_more, people_cost, replayed};
use crate::http::kit::problem::{Problem, ProblemBody};
use crate::http::kit::response_context::RequestId;
use crate::http::messaging::new_message::{NewMessageSchema, SendMessage};
use crate::model::account::Caller;
use crate::model::ids::{ClientMsgId, ConversationId};
use crate::model::message::MAX_BATCH;
use crate::model::rate_limit::Subject;
use crate::model::validators::items;
use crate::model::wire::message::Message;
use actix_web::{HttpRequest, HttpResponse, http::header, web};
use garde::Validate;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use utoipa::ToSchema;

/// Messages to store, in this order.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"messages": [
    {"client_msg_id": "0199a3c0-0000-7000-8000-0000000000aa", "kind": "text", "content": {"text": "hi Ben"}},
    {"client_msg_id": "0199a3c0-0000-7000-8000-0000000000ab", "kind": "text", "content": {"text": "are you there?"}}]}))]
pub struct SendMessagesRequest {
    /// 1 to 100 messages.
    #[garde(custom(items(1..=MAX_BATCH)))]
    #[schema(value_type = Vec<NewMessageSchema>, min_items = 1, max_items = 100)]
    messages: Vec<SendMessage>,
}

/// The outcome of each message, in the order of the request.
#[derive(Serialize, ToSchema)]
pub struct SendMessagesResults {
    /// One result for each message.
    results: Vec<SendResult>,
}

/// The outcome of one message of a batch.
#[derive(Serialize, ToSchema)]
pub struct SendResult {
    /// The id of the message in the request.
    client_msg_id: ClientMsgId,
    /// 201: stored. 200: stored before. Otherwise the status of the problem.
    #[schema(example = 201)]
    status: u16,
    /// The message was stored before.
    replayed: bool,
    /// The stored message.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message>,
    /// The reason why it was not stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<ProblemBody>,
}

/// Send a message
///
/// A success means that the message is committed: to the archive, and with write fan-out to every inbox. After a lost response or
/// a 503, repeat the request unchanged: the message is stored once, and a repeat gets the first response again (200).
#[utoipa::path(post, path = "/v1/conversations/{id}/messages", tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation")),
    request_body(content = NewMessageSchema, examples(
        ("text" = (value = json!({"client_msg_id": "0199a3c0-0000-7000-8000-0000000000aa", "kind": "text",
            "content": {"text": "hi Ben"}}))),
        ("image" = (value = json!({"client_msg_id": "0199a3c0-0000-7000-8000-0000000000ab", "kind": "image",
            "content": {"url": "https://files.example/cat.png", "mime": "image/png", "size": 48213,
                "width": 640, "height": 480}}))),
        ("forward" = (value = json!({"client_msg_id": "0199a3c0-0000-7000-8000-0000000000ac",
            "forward": {"conversation_id": "0199a3c0-0000-7000-8000-0000000000c1", "seq": 3}}))))),
    responses(
        (status = 201, description = "Stored", body = Message,
            headers(("Location" = String, description = "The message"))),
        (status = 200, description = "Stored before: the first response again", body = Message,
            headers(("Idempotent-Replayed" = String, description = "`true`")))),
    extensions(("x-problems" = json!(["forbidden", "muted", "blocked", "not_found", "message_gone", "client_msg_id_reused", "slow_mode"]))))]
pub async fn send_message(
    request: HttpRequest,
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id]): Ids<1>,
    Body(body): Body<SendMessage>,
) -> Result<HttpResponse, Problem> {
    let message = body.parse("")?;
    let people = message.mentions().len();
    charge_more(
        &request,
        &Subject::User(caller.user),
        people_cost(people) - 1,
    )
    .await?;
    let conversation = ConversationId(id);
    let mut results = sends::send(&delivery, caller, conversation, vec![message]).await?;
    let sent = results
        .pop()
        .unwrap_or_else(|| Err(Error::Internal("a send without a result".to_owned())))?;
    let mut response = if sent.replayed {
        replayed()
    } else {
        HttpResponse::Created()
    };
    let location = format!("/v1/conversations/{id}/messages/{}", sent.message.seq);
    Ok(response
        .insert_header((header::LOCATION, location))
        .json(sent.message))
}

/// Send several messages
///
/// The messages are stored in the order of the array. A refused message does not affect later ones. A transient failure (503)
/// fails every message, so that a repeat of the whole batch, unchanged, keeps the order.
#[utoipa::path(post, path = "/v1/conversations/{id}/messages/batch", tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation")), request_body = SendMessagesRequest,
    responses((status = 200, description = "The outcome of each message", body = SendMessagesResults)),
    extensions(("x-problems" = json!(["not_found"]))))]
pub async fn send_messages(
    request: HttpRequest,
    delivery: Handle<Delivery>,
    request_id: RequestId,
    caller: Caller,
    Ids([id]): Ids<1>,
    Body(body): Body<SendMessagesRequest>,
) -> Result<web::Json<SendMessagesResults>, Problem> {
    // One message is included in the cost of the request.
    let mut cost = body.messages.len().saturating_sub(1);
    let mut parsed = Vec::with_capacity(body.messages.len());
    let mut valid = Vec::with_capacity(body.messages.len());
    for (index, message) in body.messages.into_iter().enumerate() {
        let client_msg_id = message.client_msg_id;
        let refusal = match message.parse(&format!("/messages/{index}")) {
            Ok(message) => {
                cost += people_cost(message.mentions().len()) - 1;
                valid.push(message);
                None
            }
            Err(problem) => Some(problem),
        };
        parsed.push((client_msg_id, refusal));
    }
    charge_more(&request, &Subject::User(caller.user), cost).await?;
    let count = valid.len();
    let mut sent: VecDeque<Result<Sent, Error>> =
        match sends::send(&delivery, caller, ConversationId(id), valid).await {
            Ok(sent) => sent.into(),
            Err(error) => (0..count).map(|_| Err(error.clone())).collect(),
        };
    let results = parsed
        .into_iter()
        .enumerate()
        .map(|(index, (client_msg_id, refusal))| {
            let result = match refusal {
                Some(problem) => Err(problem),
                None => sent
                    .pop_front()
                    .unwrap_or_else(|| Err(Error::Internal("a send without a result".to_owned())))
                    .map_err(|error| match error {
                        Error::Invalid(violations) => {
                            let prefix = format!("/messages/{index}");
                            Problem::invalid(
                                violations.iter().map(|one| one.inside(&prefix)).collect(),
                            )
                        }
                        error => Problem::from(error),
                    }),
            };
            match result {
                Ok(sent) => SendResult {
                    client_msg_id,
                    status: if sent.replayed { 200 } else { 201 },
                    replayed: sent.replayed,
                    message: Some(sent.message),
                    problem: None,
                },
                Err(problem) => SendResult {
                    client_msg_id,
                    status: problem.code.status().as_u16(),
                    replayed: false,
                    message: None,
                    problem: Some(problem.into_body(&request_id.0)),
                },
            }
        })
        .collect();
    Ok(web::Json(SendMessagesResults { results }))
}
