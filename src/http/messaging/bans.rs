//! Bans from groups and channels.

use crate::domain::messaging::bans;
use crate::engine::admission::Admission;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Handle, Ids, PeopleQuery, Query, limit};
use crate::http::kit::problem::Problem;
use crate::model::account::Caller;
use crate::model::ids::{ConversationId, UserId};
use crate::model::wire::user::User;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

/// A page of banned people.
#[derive(Serialize, ToSchema)]
pub struct BanPage {
    /// The people, ordered by id.
    users: Vec<User>,
    /// The `cursor` for the next page; null on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// List the banned people
///
/// For the owner and admins.
#[utoipa::path(get, path = "/v1/conversations/{id}/bans", tag = "Members",
    params(("id" = Uuid, Path, description = "The group or channel"), PeopleQuery),
    responses((status = 200, description = "A page", body = BanPage)),
    extensions(("x-problems" = json!(["validation", "not_found", "forbidden"]))))]
pub async fn list_bans(
    delivery: Handle<Delivery>,
    admission: Handle<Admission>,
    caller: Caller,
    Ids([id]): Ids<1>,
    Query(query): Query<PeopleQuery>,
) -> Result<web::Json<BanPage>, Problem> {
    let limit = limit(query.limit)?;
    let after = query.after()?;
    let page = bans::page(
        &delivery,
        &admission,
        caller,
        ConversationId(id),
        after,
        limit,
    )
    .await?;
    Ok(web::Json(BanPage {
        users: page.items,
        next_cursor: page.next_cursor,
    }))
}

/// Ban a person
///
/// For the owner and admins of a group or channel. A member must have a lower role than the caller, and is removed. A banned
/// person cannot join (`not_found`, as if the channel did not exist) and cannot be added: they appear in `refused`, or the
/// answer is `forbidden` if they are the only person to add. They get the entry of a removal, which does not mention the ban.
#[utoipa::path(put, path = "/v1/conversations/{id}/bans/{user_id}", tag = "Members",
    params(("id" = Uuid, Path, description = "The group or channel"), ("user_id" = Uuid, Path, description = "The person")),
    responses((status = 204, description = "Banned, now or before")),
    extensions(("x-problems" = json!(["validation", "not_found", "forbidden"]))))]
pub async fn ban_user(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id, user]): Ids<2>,
) -> Result<HttpResponse, Problem> {
    bans::ban(&delivery, caller, ConversationId(id), UserId(user)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Unban a person
///
/// For the owner and admins. The person may join or be added again, but does not become a member by this.
#[utoipa::path(delete, path = "/v1/conversations/{id}/bans/{user_id}", tag = "Members",
    params(("id" = Uuid, Path, description = "The group or channel"), ("user_id" = Uuid, Path, description = "The person")),
    responses((status = 204, description = "Not banned, now or before")),
    extensions(("x-problems" = json!(["validation", "not_found", "forbidden"]))))]
pub async fn unban_user(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id, user]): Ids<2>,
) -> Result<HttpResponse, Problem> {
    bans::unban(&delivery, caller, ConversationId(id), UserId(user)).await?;
    Ok(HttpResponse::NoContent().finish())
}
