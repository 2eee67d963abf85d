//! The unread counts.

use crate::domain::sync::unread;
use crate::engine::admission::Admission;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::Handle;
use crate::http::kit::problem::Problem;
use crate::model::account::Caller;
use crate::model::wire::unread::Unread;
use actix_web::web;

/// Read the unread counts
///
/// `total` is always the sum of the counts. All are exact as of `as_of_seq`.
#[utoipa::path(get, path = "/v1/unread", tag = "Sync",
    responses((status = 200, description = "The counts", body = Unread)))]
pub async fn get_unread(
    delivery: Handle<Delivery>,
    admission: Handle<Admission>,
    caller: Caller,
) -> Result<web::Json<Unread>, Problem> {
    Ok(web::Json(
        unread::all(&delivery, &admission, caller.user).await?,
    ))
}
