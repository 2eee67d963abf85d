//! Messages: send, read, mark as read.

use crate::domain::messaging::messages::TimelinePage;
use crate::domain::messaging::{changes, messages};
use crate::engine::admission::Admission;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::writer::commands::send::Sent;
use crate::http::kit::extractors::{
    Body, Handle, Ids, MessageIds, Query, charge_more, limit, people_cost, replayed,
};
use crate::http::kit::problem::{Problem, ProblemBody};
use crate::http::kit::response_context::RequestId;
use crate::model::account::Caller;
use crate::model::content::Content;
use crate::model::ids::{ChangeSeq, ClientMsgId, ConvSeq, ConversationId, Epoch};
use crate::model::message::MAX_BATCH;
use crate::model::message::{NewMessage, SendOptions};
use crate::model::page::Range;
use crate::model::rate_limit::Subject;
use crate::model::strict::Strict;
use crate::model::validators::items;
use crate::model::wire::content::TypedContent;
use crate::model::wire::message::Message;
use crate::model::wire::unread::ReadMark;
use crate::model::wire::violation::Violation;
use actix_web::{HttpRequest, HttpResponse, http::header, web};
use garde::Validate;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use utoipa::{IntoParams, ToSchema};

/// A message to store.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    #[garde(skip)]
    client_msg_id: ClientMsgId,
    #[garde(skip)]
    kind: String,
    #[garde(skip)]
    content: Strict,
    #[garde(skip)]
    #[serde(default)]
    reply_to: Option<i64>,
    #[garde(skip)]
    #[serde(default)]
    mention_all: Option<bool>,
}

/// A message to store.
#[derive(Debug, ToSchema)]
#[expect(
    dead_code,
    reason = "the schema of SendMessage, whose content is checked by kind"
)]
#[schema(as = SendMessage)]
pub struct SendMessageSchema {
    /// The sender's own id of the message, preferably a UUIDv7. A repeat with the same id, kind and content is always the same
    /// message. Responses have the id in lower case: compare ids as UUIDs, not as strings.
    client_msg_id: ClientMsgId,
    /// The kind and content.
    #[schema(inline = false)]
    #[serde(flatten)]
    content: TypedContent,
    /// The seq of the message to which it replies. Its sender is named as if mentioned.
    #[schema(nullable = false, minimum = 1)]
    reply_to: Option<i64>,
    /// Names everyone in the conversation. In one with more than `limits.mention_all` members only the owner and the admins may.
    #[schema(nullable = false)]
    mention_all: Option<bool>,
}

/// Messages to store, in this order.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"messages": [
    {"client_msg_id": "0199a3c0-0000-7000-8000-0000000000aa", "kind": "text", "content": {"text": "hi Ben"}},
    {"client_msg_id": "0199a3c0-0000-7000-8000-0000000000ab", "kind": "text", "content": {"text": "are you there?"}}]}))]
pub struct SendMessagesRequest {
    /// 1 to 100 messages.
    #[garde(custom(items(1..=MAX_BATCH)))]
    #[schema(value_type = Vec<SendMessageSchema>, min_items = 1, max_items = 100)]
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

/// A page of a conversation's messages, ascending.
#[derive(Serialize, ToSchema)]
pub struct MessagePage {
    /// The messages.
    messages: Vec<Message>,
    /// The latest seq of the conversation.
    last_seq: ConvSeq,
    /// The number of changes that the page includes. To learn of later ones, keep that of the first page, and send it as
    /// `changed_since`.
    change_seq: ChangeSeq,
    /// There are more messages in the direction of reading.
    has_more: bool,
    /// With `with_replied`: the messages to which those of the page reply, without those of the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    replied: Option<Vec<Message>>,
}

/// The requested page of messages.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListMessagesQuery {
    /// Read forward: the messages directly after this seq.
    #[param(minimum = 0)]
    since_seq: Option<i64>,
    /// Read backward: the messages directly before this seq.
    #[param(minimum = 0)]
    before_seq: Option<i64>,
    /// Read changes: the messages that changed after this number, each once and as it is now, in the order of their changes. Not
    /// together with the other two. The `change_seq` of the page is the number to go on from.
    #[param(minimum = 0)]
    changed_since: Option<i64>,
    /// Read these messages, up to 100 seqs with commas between them. Not together with the others. Those that do not exist, or that
    /// the caller may not see, are left out.
    #[param(example = "3,17")]
    seqs: Option<String>,
    /// Also return the messages to which those of the page reply, as `replied`.
    with_replied: Option<bool>,
    /// With `changed_since`: the epoch of the number; checked if given.
    #[param(value_type = Option<Uuid>)]
    epoch: Option<Epoch>,
    /// The size of the page, 1 to 500. Default: 100.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
}

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

/// The most seqs of a request.
const MAX_SEQS: usize = 100;

fn parse_seqs(text: &str) -> Result<Vec<ConvSeq>, Violation> {
    let seqs: Vec<_> = text.split(',').collect();
    if seqs.len() > MAX_SEQS {
        return Err(Violation::new(
            "seqs",
            format!("must be at most {MAX_SEQS}"),
        ));
    }
    let parse = |seq: &&str| match seq.parse() {
        Ok(seq) => ConvSeq::parse("seqs", seq),
        Err(_) => Err(Violation::new(
            "seqs",
            "must be seqs with commas between them",
        )),
    };
    seqs.iter().map(parse).collect()
}

impl From<TimelinePage> for MessagePage {
    fn from(page: TimelinePage) -> Self {
        Self {
            messages: page.messages,
            last_seq: page.last_seq,
            change_seq: page.change_seq,
            has_more: page.has_more,
            replied: page.replied,
        }
    }
}

impl SendMessage {
    fn parse(self, prefix: &str) -> Result<NewMessage, Problem> {
        let reply_to = self.reply_to.map(|seq| ConvSeq::parse("/reply_to", seq));
        let reply_to = reply_to
            .transpose()
            .map_err(|one| Problem::invalid(vec![one.inside(prefix)]))?;
        match Content::parse(&self.kind, self.content) {
            Ok(content) => Ok(NewMessage {
                client_msg_id: self.client_msg_id,
                content,
                options: SendOptions {
                    reply_to,
                    mention_all: self.mention_all.unwrap_or(false),
                },
            }),
            Err(violations) => Err(Problem::invalid(
                violations.iter().map(|one| one.inside(prefix)).collect(),
            )),
        }
    }
}

/// Send a message
///
/// A success means that the message is committed: to the archive, and with write fan-out to every inbox. After a lost response or
/// a 503, repeat the request unchanged: the message is stored once, and a repeat gets the first response again (200).
#[utoipa::path(post, path = "/v1/conversations/{id}/messages", tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation")),
    request_body(content = SendMessageSchema, examples(
        ("text" = (value = json!({"client_msg_id": "0199a3c0-0000-7000-8000-0000000000aa", "kind": "text",
            "content": {"text": "hi Ben"}}))),
        ("image" = (value = json!({"client_msg_id": "0199a3c0-0000-7000-8000-0000000000ab", "kind": "image",
            "content": {"url": "https://files.example/cat.png", "mime": "image/png", "size": 48213,
                "width": 640, "height": 480}}))))),
    responses(
        (status = 201, description = "Stored", body = Message,
            headers(("Location" = String, description = "The message"))),
        (status = 200, description = "Stored before: the first response again", body = Message,
            headers(("Idempotent-Replayed" = String, description = "`true`")))),
    extensions(("x-problems" = json!(["forbidden", "muted", "blocked", "not_found", "client_msg_id_reused"]))))]
pub async fn send_message(
    request: HttpRequest,
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id]): Ids<1>,
    Body(body): Body<SendMessage>,
) -> Result<HttpResponse, Problem> {
    let message = body.parse("")?;
    let people = message.content.mentions().len();
    charge_more(
        &request,
        &Subject::User(caller.user),
        people_cost(people) - 1,
    )
    .await?;
    let conversation = ConversationId(id);
    let mut results = messages::send(&delivery, caller, conversation, vec![message]).await?;
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
                cost += people_cost(message.content.mentions().len()) - 1;
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
        match messages::send(&delivery, caller, ConversationId(id), valid).await {
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

/// Read a conversation's messages
///
/// `since_seq` reads forward, `before_seq` backward; without both, the response is the newest page. Both bounds are exclusive.
/// Messages are in ascending order. `changed_since` reads what has changed instead. A page may be shorter than `limit`: only `has_more` tells whether more follow.
#[utoipa::path(get, path = "/v1/conversations/{id}/messages", tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation"), ListMessagesQuery),
    responses((status = 200, description = "A page", body = MessagePage)),
    extensions(("x-problems" = json!(["validation", "not_found", "cursor_ahead", "epoch_changed"]))))]
pub async fn list_messages(
    delivery: Handle<Delivery>,
    admission: Handle<Admission>,
    caller: Caller,
    Ids([id]): Ids<1>,
    Query(query): Query<ListMessagesQuery>,
) -> Result<web::Json<MessagePage>, Problem> {
    let limit = limit(query.limit)?;
    let is_range = query.since_seq.is_some() || query.before_seq.is_some();
    let with_replied = query.with_replied.unwrap_or(false);
    if let Some(seqs) = &query.seqs {
        if is_range || query.changed_since.is_some() || query.limit.is_some() || with_replied {
            let detail = "must not be given together with another parameter";
            return Err(Violation::new("seqs", detail).into());
        }
        let (id, seqs) = (ConversationId(id), parse_seqs(seqs)?);
        let page = messages::some(&delivery, &admission, caller, id, seqs).await?;
        return Ok(web::Json(page.into()));
    }
    if let Some(since) = query.changed_since {
        if is_range || with_replied {
            let detail = "must not be given together with since_seq, before_seq or with_replied";
            return Err(Violation::new("changed_since", detail).into());
        }
        let since = ChangeSeq::parse("changed_since", since)?;
        let (id, epoch) = (ConversationId(id), query.epoch);
        let page =
            changes::changed_since(&delivery, &admission, caller, id, since, limit, epoch).await?;
        return Ok(web::Json(page.into()));
    }
    if query.epoch.is_some() {
        return Err(Violation::new("epoch", "must be given together with changed_since").into());
    }
    let seq = |name, value| ConvSeq::parse(name, value).map_err(|one| Problem::invalid(vec![one]));
    let range = match (query.since_seq, query.before_seq) {
        (Some(_), Some(_)) => {
            let violation =
                Violation::new("before_seq", "must not be given together with since_seq");
            return Err(Problem::invalid(vec![violation]));
        }
        (Some(since), None) => Range::Since(seq("since_seq", since)?),
        (None, Some(before)) => Range::Before(seq("before_seq", before)?),
        (None, None) => Range::Newest,
    };
    let page = messages::page(
        &delivery,
        &admission,
        caller,
        ConversationId(id),
        range,
        limit,
        with_replied,
    )
    .await?;
    Ok(web::Json(page.into()))
}

/// Read one message
#[utoipa::path(get, path = "/v1/conversations/{id}/messages/{seq}", tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation"),
        ("seq" = i64, Path, description = "The seq of the message in the conversation", minimum = 1)),
    responses((status = 200, description = "The message", body = Message)),
    extensions(("x-problems" = json!(["not_found"]))))]
pub async fn get_message(
    delivery: Handle<Delivery>,
    admission: Handle<Admission>,
    caller: Caller,
    MessageIds(conversation, seq): MessageIds,
) -> Result<web::Json<Message>, Problem> {
    let message = messages::get(&delivery, &admission, caller, conversation, seq).await?;
    Ok(web::Json(message))
}

/// The requested page of replies.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListRepliesQuery {
    /// The replies after this seq. Default: 0.
    #[param(minimum = 0)]
    since_seq: Option<i64>,
    /// The size of the page, 1 to 500. Default: 100.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
}

/// List the replies to a message
///
/// The replies to a message and to its replies: those whose `root_seq` it is, in ascending order.
#[utoipa::path(get, path = "/v1/conversations/{id}/messages/{seq}/replies", tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation"),
        ("seq" = i64, Path, description = "The seq of the first message of the chain", minimum = 1), ListRepliesQuery),
    responses((status = 200, description = "A page", body = MessagePage)),
    extensions(("x-problems" = json!(["not_found"]))))]
pub async fn list_replies(
    delivery: Handle<Delivery>,
    admission: Handle<Admission>,
    caller: Caller,
    MessageIds(conversation, seq): MessageIds,
    Query(query): Query<ListRepliesQuery>,
) -> Result<web::Json<MessagePage>, Problem> {
    let since = ConvSeq::parse("since_seq", query.since_seq.unwrap_or(0))?;
    let (root, limit) = ((conversation, seq), limit(query.limit)?);
    let page = messages::replies(&delivery, &admission, caller, root, since, limit).await?;
    Ok(web::Json(page.into()))
}

/// Mark as read
///
/// Moves the caller's read position forward, for all of the caller's devices. A lower position changes nothing.
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
