//! A diagnosis of proxies that cut long-polls.

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

/// The duration of the diagnosis.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DiagnoseLongpollQuery {
    /// How long to wait, in seconds, 0 to 55. Default: 25.
    #[param(minimum = 0, maximum = 55)]
    timeout: Option<i64>,
}

/// The wait as the server measured it.
#[derive(Serialize, ToSchema)]
pub struct LongpollDiagnosis {
    /// The requested duration, in milliseconds.
    #[schema(example = 25_000)]
    asked_ms: u64,
    /// The measured duration, in milliseconds.
    #[schema(example = 25_001)]
    waited_ms: u64,
    /// This node shuts down and ended the wait early: the result is not conclusive.
    reconnect: bool,
}

/// Test for proxies that cut long-polls
///
/// Responds exactly after the requested time. If the response does not arrive, or a proxy answers instead (504), something between
/// the client and the server cuts requests that are silent for that long. Halve the timeout until the response arrives, and
/// wait for notices no longer than that. At most two at a time for each user (`rate_limited`), and a hundred on each node
/// (`overloaded`).
#[utoipa::path(get, path = "/v1/diagnostics/longpoll", tag = "Service", params(DiagnoseLongpollQuery),
    responses((status = 200, description = "The measured wait", body = LongpollDiagnosis)),
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
