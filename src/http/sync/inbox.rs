//! The inbox.

use crate::domain::sync::inbox;
use crate::engine::admission::Admission;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Handle, Query, limit};
use crate::http::kit::problem::Problem;
use crate::model::account::Caller;
use crate::model::ids::{Epoch, InboxSeq};
use crate::model::wire::entry::InboxPage;
use actix_web::web;
use serde::Deserialize;
use utoipa::IntoParams;

/// The requested page of the inbox.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FetchInboxQuery {
    /// The last seq that the device has; 0 for all retained entries.
    #[param(minimum = 0)]
    since_seq: i64,
    /// The size of the page, 1 to 500. Default: 100.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// The epoch of `since_seq`; checked if given.
    #[param(value_type = Option<Uuid>)]
    epoch: Option<Epoch>,
}

/// Fetch new inbox entries
///
/// Returns the entries after `since_seq`, in order and without gaps: all events that a device needs. Repeat with
/// `next_since_seq` until `has_more` is false, then wait for notices. A fetch changes nothing on the server.
#[utoipa::path(get, path = "/v1/inbox", tag = "Sync", params(FetchInboxQuery),
    responses((status = 200, description = "A page", body = InboxPage)),
    extensions(("x-problems" = json!(["validation", "epoch_changed", "cursor_ahead", "inbox_trimmed"]))))]
pub async fn fetch_inbox(
    delivery: Handle<Delivery>,
    admission: Handle<Admission>,
    caller: Caller,
    Query(query): Query<FetchInboxQuery>,
) -> Result<web::Json<InboxPage>, Problem> {
    let since = InboxSeq::parse("since_seq", query.since_seq)?;
    let limit = limit(query.limit)?;
    let page = inbox::fetch(&delivery, &admission, caller, since, limit, query.epoch).await?;
    Ok(web::Json(page))
}
