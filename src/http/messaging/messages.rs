//! Messages: read.

use crate::domain::messaging::messages::TimelinePage;
use crate::domain::messaging::{changes, messages};
use crate::engine::admission::Admission;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Handle, Ids, MessageIds, Query, limit};
use crate::http::kit::problem::Problem;
use crate::model::account::Caller;
use crate::model::ids::{ChangeSeq, ConvSeq, ConversationId, Epoch};
use crate::model::page::Range;
use crate::model::wire::message::Message;
use crate::model::wire::violation::Violation;
use actix_web::web;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

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
    /// Read these messages, up to 100 seqs with commas between them. Not together with another parameter, except `epoch`. Those that
    /// do not exist, or that the caller may not see, are left out.
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
