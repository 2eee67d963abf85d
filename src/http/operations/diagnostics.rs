//! Finding out what cuts long-polls.

use crate::domain::operations::diagnostics;
use crate::engine::lifecycle::Lifecycle;
use crate::http::kit::extractors::{Handle, Query, timeout};
use crate::http::kit::problem::Problem;
use crate::http::transport::parking::check_head;
use crate::model::account::Caller;
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// How long.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DiagnoseLongpollQuery {
    /// How long to wait, in seconds, 0 to 55; 25 when not given.
    #[param(minimum = 0, maximum = 55)]
    timeout: Option<i64>,
}

/// How a wait for nothing went, as the server saw it.
#[derive(Serialize, ToSchema)]
pub struct LongpollDiagnosis {
    /// How long it was to take, in milliseconds.
    #[schema(example = 25_000)]
    asked_ms: u64,
    /// How long it took, in milliseconds.
    #[schema(example = 25_001)]
    waited_ms: u64,
    /// It was cut short, since this node is going away: it says nothing of what is in between.
    reconnect: bool,
}

/// Find out what cuts long-polls
///
/// Answers after just as long as was asked, whatever happens. When the answer does not come, or comes from somebody else
/// (a proxy's 504), something between the client and the server cuts requests that are silent for so long: halve the
/// timeout until it comes, and wait for notices with no more than that. Two at a time for each user (`rate_limited`), and
/// a hundred on each node (`overloaded`).
#[utoipa::path(get, path = "/v1/diagnostics/longpoll", tag = "Service", params(DiagnoseLongpollQuery),
    responses((status = 200, description = "How the wait went", body = LongpollDiagnosis)),
    extensions(("x-problems" = json!(["head_too_large", "overloaded"]))))]
pub async fn diagnose_longpoll(
    request: HttpRequest,
    lifecycle: Handle<Lifecycle>,
    caller: Caller,
    Query(query): Query<DiagnoseLongpollQuery>,
) -> Result<HttpResponse, Problem> {
    check_head(&request)?;
    let timeout = timeout(query.timeout)?;
    let waited = diagnostics::longpoll(&lifecycle, caller.user, timeout).await?;
    let mut response = HttpResponse::Ok();
    if waited.reconnect {
        response.force_close();
    }
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Ok(response.json(LongpollDiagnosis {
        asked_ms: milliseconds(timeout),
        waited_ms: milliseconds(waited.waited),
        reconnect: waited.reconnect,
    }))
}
