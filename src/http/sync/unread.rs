//! The unread counts.

use crate::domain::sync::unread;
use crate::engine::admission::Admission;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Handle, Query};
use crate::http::kit::problem::Problem;
use crate::model::account::Caller;
use crate::model::wire::unread::Unread;
use actix_web::web;
use serde::Deserialize;
use utoipa::IntoParams;

/// What to count.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GetUnreadQuery {
    /// Also count the unread messages that name the caller.
    mentions: Option<bool>,
}

/// Read the unread counts
///
/// `total` is always the sum of the counts. All are exact as of `as_of_seq`.
#[utoipa::path(get, path = "/v1/unread", tag = "Sync", params(GetUnreadQuery),
    responses((status = 200, description = "The counts", body = Unread)))]
pub async fn get_unread(
    delivery: Handle<Delivery>,
    admission: Handle<Admission>,
    caller: Caller,
    Query(query): Query<GetUnreadQuery>,
) -> Result<web::Json<Unread>, Problem> {
    let counts = unread::all(&delivery, &admission, caller.user).await?;
    Ok(web::Json(match query.mentions {
        Some(true) => unread::with_mentions(&delivery, caller.user, counts).await?,
        Some(false) | None => counts,
    }))
}
