//! Who is online.

use crate::domain::people::presence;
use crate::engine::admission::Admission;
use crate::engine::auth::Auth;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Body, Handle, Query, charge_more};
use crate::http::kit::problem::Problem;
use crate::model::account::Caller;
use crate::model::ids::UserId;
use crate::model::rate_limit::Subject;
use crate::model::validators::items;
use crate::model::wire::people::presence::{PRESENCE_IDS, PersonPresence};
use crate::model::wire::violation::Violation;
use actix_web::{HttpRequest, web};
use garde::Validate;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// The people whose presence is read.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PresenceQuery {
    /// 1 to 100 ids of users, separated by commas, each once.
    ids: String,
}

/// The presence of people.
#[derive(Serialize, ToSchema)]
pub struct Presences {
    /// In the order of the request.
    presences: Vec<PersonPresence>,
}

/// The people that a client follows.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"user_ids": ["0199a3c0-0000-7000-8000-00000000000b"]}))]
pub struct CreatePresenceCursorRequest {
    /// 1 to 100 users, each once.
    #[garde(custom(items(1..=PRESENCE_IDS)))]
    #[schema(min_items = 1, max_items = 100)]
    user_ids: Vec<UserId>,
}

/// The presence of people, and where a wait continues.
#[derive(Serialize, ToSchema)]
pub struct FollowedPresences {
    /// In the order of the request.
    presences: Vec<PersonPresence>,
    /// The cursor for `presence` of a wait. It is valid for 24 hours, for the caller only.
    cursor: String,
}

fn parse(ids: &str) -> Option<Vec<UserId>> {
    let ids: Option<Vec<_>> = ids
        .split(',')
        .take(PRESENCE_IDS + 1)
        .map(|id| Uuid::try_parse(id).ok().map(UserId))
        .collect();
    ids.filter(|ids| ids.len() <= PRESENCE_IDS && is_set(ids))
}

fn is_set(ids: &[UserId]) -> bool {
    ids.iter().collect::<BTreeSet<_>>().len() == ids.len()
}

/// Read who is online
///
/// A user whom the caller may not see is `unknown`, like an id that nobody has: each of the two must let the other see it (`presence`
/// of the privacy settings), and neither may block the other. Each id counts against 100 a second, 500 in one burst.
#[utoipa::path(get, path = "/v1/presence", tag = "Accounts", params(PresenceQuery),
    responses((status = 200, description = "The presence of the users", body = Presences)),
    extensions(("x-problems" = json!(["validation"]))))]
pub async fn get_presence(
    request: HttpRequest,
    delivery: Handle<Delivery>,
    auth: Handle<Auth>,
    admission: Handle<Admission>,
    caller: Caller,
    Query(query): Query<PresenceQuery>,
) -> Result<web::Json<Presences>, Problem> {
    let ids = parse(&query.ids).ok_or_else(|| {
        let detail = format!("must be 1 to {PRESENCE_IDS} ids, each once, separated by commas");
        Violation::new("ids", detail)
    })?;
    charge_more(&request, &Subject::Presence(caller.user), ids.len()).await?;
    let now = auth.tokens.clock.now();
    let (presences, _) = presence::follow(&delivery, &admission, caller, ids, now).await?;
    Ok(web::Json(Presences { presences }))
}

/// Follow who is online
///
/// Responds with the presence of the users, and a cursor for the parameter `presence` of a wait, whose answers then have the changes. The
/// server stores nothing: repeat the request at will. Each user counts as in `GET /v1/presence`.
#[utoipa::path(post, path = "/v1/presence/cursors", tag = "Accounts", request_body = CreatePresenceCursorRequest,
    responses((status = 200, description = "The presence of the users, and the cursor", body = FollowedPresences)))]
pub async fn create_presence_cursor(
    request: HttpRequest,
    delivery: Handle<Delivery>,
    auth: Handle<Auth>,
    admission: Handle<Admission>,
    caller: Caller,
    Body(body): Body<CreatePresenceCursorRequest>,
) -> Result<web::Json<FollowedPresences>, Problem> {
    let ids = body.user_ids;
    if !is_set(&ids) {
        return Err(Violation::new("/user_ids", "must have each id once").into());
    }
    charge_more(&request, &Subject::Presence(caller.user), ids.len()).await?;
    let now = auth.tokens.clock.now();
    let (presences, cursor) = presence::follow(&delivery, &admission, caller, ids, now).await?;
    Ok(web::Json(FollowedPresences { presences, cursor }))
}
