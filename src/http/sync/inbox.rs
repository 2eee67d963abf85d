//! Fetching the inbox.

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

/// From where, and how much.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FetchInboxQuery {
    /// The last seq that the device has; 0 for everything that is kept.
    #[param(minimum = 0)]
    since_seq: i64,
    /// The size of the page, 1 to 500; 100 when not given.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// The epoch that `since_seq` belongs to; checked when given.
    #[param(value_type = Option<Uuid>)]
    epoch: Option<Epoch>,
}

/// Fetch what is new
///
/// The entries after `since_seq`, in order and without a hole: everything a device must learn. Repeat with
/// `next_since_seq` until `has_more` is false, then wait for notices. Reading changes nothing.
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
