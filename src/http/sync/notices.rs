//! The long-poll.

use crate::domain::sync::notices::{self, Position, WATCH, Wait};
use crate::engine::admission::Admission;
use crate::engine::auth::Auth;
use crate::engine::delivery::Delivery;
use crate::engine::lifecycle::Lifecycle;
use crate::http::kit::extractors::{Handle, Query, repeated, timeout};
use crate::http::kit::problem::Problem;
use crate::http::transport::parking;
use crate::model::account::Caller;
use crate::model::ids::{ConvSeq, ConversationId, Epoch, InboxSeq};
use crate::model::wire::violation::Violation;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// From where, and how long.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WaitNoticesQuery {
    /// The last seq of the inbox that the device has.
    #[param(minimum = 0)]
    since_seq: i64,
    /// How long to wait at most, in seconds, 0 to 55; 25 when not given. 0 is a probe: it answers at once.
    #[param(minimum = 0, maximum = 55)]
    timeout: Option<i64>,
    /// The epoch that `since_seq` belongs to; checked when given.
    #[param(value_type = Option<Uuid>)]
    epoch: Option<Epoch>,
}

/// The watched conversations, none twice.
fn watched(given: &[String]) -> Result<Vec<(ConversationId, ConvSeq)>, Violation> {
    let wrong = |detail: String| Violation::new("watch", detail);
    if given.len() > WATCH {
        return Err(wrong(format!("must not be given more than {WATCH} times")));
    }
    let mut watched = BTreeMap::new();
    for text in given {
        let (id, seq) = text
            .split_once(':')
            .and_then(|(id, seq)| Some((Uuid::try_parse(id).ok()?, seq.parse().ok()?)))
            .ok_or_else(|| wrong("must be <conversation_id>:<seq>".to_owned()))?;
        let seq = ConvSeq::parse("watch", seq)?;
        if watched.insert(ConversationId(id), seq).is_some() {
            return Err(wrong(format!("must not name {id} twice")));
        }
    }
    Ok(watched.into_iter().collect())
}

/// What a wait came to. Never the messages themselves: fetch the inbox.
#[derive(Serialize, ToSchema)]
pub struct Notice {
    /// There is something after `since_seq`: fetch it.
    news: bool,
    /// The head of the inbox.
    last_seq: InboxSeq,
    /// The sum of the unread counts.
    #[schema(minimum = 0)]
    total_unread: i64,
    /// This life of the database.
    epoch: Epoch,
    /// The heads of those watched conversations that went beyond the seq that was given: fetch their messages after it.
    watched: Vec<Watched>,
    /// This node is going away: wait again after `retry_after_ms`, on a new connection.
    reconnect: bool,
    /// A newer wait of this device runs: do not wait again here.
    superseded: bool,
    /// With `reconnect`: when to wait again, in milliseconds.
    #[schema(required = true)]
    retry_after_ms: Option<u64>,
}

/// A watched conversation whose head moved.
#[derive(Serialize, ToSchema)]
pub struct Watched {
    /// The conversation.
    conversation_id: ConversationId,
    /// Its head.
    last_seq: ConvSeq,
}

/// Wait for news
///
/// Answers at once when the inbox is beyond `since_seq` or a watched conversation beyond its seq, otherwise as soon as one
/// is, or with `news: false` after the timeout, or when the access token ends. One waiting process per device: a newer wait
/// ends an older one. A watched conversation that the caller is not in, or no more, is `not_found`: fetch the inbox, whose
/// entries say which one it is. A seq beyond its head is `cursor_ahead`.
#[utoipa::path(get, path = "/v1/notices", tag = "Sync", params(WaitNoticesQuery,
        ("watch" = Option<Vec<String>>, Query, style = Form, explode, max_items = 100, description = "Conversations with \
            read fan-out to wait for, up to 100, each as `<conversation_id>:<seq>` with the last seq of it that the \
            device has. Repeat the parameter for each.")),
    responses((status = 200, description = "What the wait came to", body = Notice)),
    extensions(("x-problems" = json!(["validation", "not_found", "head_too_large", "epoch_changed", "cursor_ahead"]))))]
pub async fn wait_notices(
    request: HttpRequest,
    delivery: Handle<Delivery>,
    auth: Handle<Auth>,
    admission: Handle<Admission>,
    lifecycle: Handle<Lifecycle>,
    caller: Caller,
) -> Result<HttpResponse, Problem> {
    parking::check_head(&request)?;
    let (watch, rest) = repeated(request.query_string(), "watch");
    let Query(query) = Query::<WaitNoticesQuery>::parse(&rest)?;
    let position = Position {
        since: InboxSeq::parse("since_seq", query.since_seq)?,
        epoch: query.epoch,
        watch: watched(&watch)?,
    };
    let timeout = timeout(query.timeout)?;
    let epoch = delivery.epoch;
    match notices::wait(
        &delivery, &auth, &admission, &lifecycle, caller, position, timeout,
    )
    .await?
    {
        Wait::Over(notice) => Ok(answer(epoch, notice)),
        Wait::Asleep(asleep) => {
            let asleep = asleep.map(move |notice| Ok(answer(epoch, notice?)));
            parking::park(&request, Box::pin(asleep)).await
        }
    }
}

fn answer(epoch: Epoch, notice: notices::Notice) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    if notice.reconnect_after.is_some() {
        response.force_close();
    }
    response.json(Notice {
        news: notice.news,
        last_seq: notice.last_seq,
        total_unread: notice.total_unread,
        epoch,
        watched: notice
            .watched
            .into_iter()
            .map(|(conversation_id, last_seq)| Watched {
                conversation_id,
                last_seq,
            })
            .collect(),
        reconnect: notice.reconnect_after.is_some(),
        superseded: notice.superseded,
        retry_after_ms: notice
            .reconnect_after
            .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
    })
}
