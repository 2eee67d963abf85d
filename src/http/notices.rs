//! The long-poll.

use crate::domain::notices;
use crate::http::extract::{Query, app};
use crate::http::problem::Problem;
use crate::model::account::Caller;
use crate::model::ids::{ConvSeq, ConversationId, Epoch, InboxSeq};
use crate::model::violation::Violation;
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// How long a wait takes that does not say so.
const TIMEOUT_SECONDS: u64 = 25;

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
    timeout: Option<u64>,
    /// The epoch that `since_seq` belongs to; checked when given.
    epoch: Option<Uuid>,
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
    /// The heads of watched conversations that moved.
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
/// Answers at once when the inbox is beyond `since_seq`, otherwise as soon as it is, or with `news: false` after the
/// timeout, or when the access token ends. One waiting process per device: a newer wait ends an older one.
#[utoipa::path(get, path = "/v1/notices", tag = "Sync", params(WaitNoticesQuery),
    responses((status = 200, description = "What the wait came to", body = Notice)),
    extensions(("x-problems" = json!(["validation", "epoch_changed", "cursor_ahead", "overloaded"]))))]
pub async fn wait_notices(
    request: HttpRequest,
    caller: Caller,
    Query(query): Query<WaitNoticesQuery>,
) -> Result<HttpResponse, Problem> {
    let since =
        InboxSeq::parse("since_seq", query.since_seq).map_err(|one| Problem::invalid(vec![one]))?;
    let timeout = Duration::from_secs(query.timeout.unwrap_or(TIMEOUT_SECONDS));
    if timeout > notices::MAX_TIMEOUT {
        let detail = format!("must be 0 to {}", notices::MAX_TIMEOUT.as_secs());
        return Err(Problem::invalid(vec![Violation::new("timeout", detail)]));
    }
    let app = app(&request)?;
    let notice = notices::wait(&app, caller, since, timeout, query.epoch.map(Epoch)).await?;
    let mut response = HttpResponse::Ok();
    if notice.reconnect_after.is_some() {
        response.force_close();
    }
    Ok(response.json(Notice {
        news: notice.news,
        last_seq: notice.last_seq,
        total_unread: notice.total_unread,
        epoch: app.epoch,
        watched: Vec::new(),
        reconnect: notice.reconnect_after.is_some(),
        superseded: notice.superseded,
        retry_after_ms: notice
            .reconnect_after
            .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
    }))
}
