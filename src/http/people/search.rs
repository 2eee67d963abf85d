//! The search for people.

use crate::domain::people::search::{self, MAX_FOUND};
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Handle, Query, charge};
use crate::http::kit::problem::Problem;
use crate::model::account::Caller;
use crate::model::rate_limit::Subject;
use crate::model::wire::user::User;
use crate::model::wire::violation::Violation;
use actix_web::{HttpRequest, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What is searched for.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SearchQuery {
    /// The beginning of usernames, in any case, 3 to 32 characters. No character has a special meaning.
    #[param(example = "ann", min_length = 3, max_length = 32)]
    prefix: String,
    /// The most people, 1 to 20. Default: 20.
    #[param(minimum = 1, maximum = 20)]
    limit: Option<i64>,
}

/// The people that were found.
#[derive(Serialize, ToSchema)]
pub struct FoundUsers {
    /// In the order of their usernames.
    users: Vec<User>,
}

/// Search for people
///
/// By the beginning of their usernames. Without deactivated and deleted accounts, people that do not want to be found
/// (`discoverable` of the privacy settings), and people that the caller blocks. Only the first 500 names that begin so are looked at: a longer prefix may find more. 30 searches a minute.
#[utoipa::path(get, path = "/v1/users/search", tag = "Accounts", params(SearchQuery),
    responses((status = 200, description = "The people, possibly none", body = FoundUsers)),
    extensions(("x-problems" = json!(["validation"]))))]
pub async fn search_users(
    request: HttpRequest,
    delivery: Handle<Delivery>,
    caller: Caller,
    Query(query): Query<SearchQuery>,
) -> Result<web::Json<FoundUsers>, Problem> {
    let limit = query.limit.unwrap_or(MAX_FOUND);
    if !(1..=MAX_FOUND).contains(&limit) {
        return Err(Violation::new("limit", format!("must be 1 to {MAX_FOUND}")).into());
    }
    charge(&request, &Subject::Search(caller.user)).await?;
    let users = search::by_prefix(&delivery, caller, &query.prefix, limit).await?;
    Ok(web::Json(FoundUsers { users }))
}
