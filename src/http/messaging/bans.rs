//! The people who are banned from a group or channel.

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
    /// The people, by their ids.
    users: Vec<User>,
    /// Give it back as `cursor` for the next page; null on the last one.
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

/// Ban somebody
///
/// For the owner and admins of a group or channel. A member is removed, if their role is below the caller's. Somebody who is
/// banned cannot join (`not_found`, as if there were no such channel), and others cannot add them: they are left out of a
/// list (`refused`), and alone they are `forbidden`. They are not told of more than that they are out.
#[utoipa::path(put, path = "/v1/conversations/{id}/bans/{user_id}", tag = "Members",
    params(("id" = Uuid, Path, description = "The group or channel"), ("user_id" = Uuid, Path, description = "Whom")),
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

/// End a ban
///
/// For the owner and admins. Who was banned may join or be added again, and is not let in by this.
#[utoipa::path(delete, path = "/v1/conversations/{id}/bans/{user_id}", tag = "Members",
    params(("id" = Uuid, Path, description = "The group or channel"), ("user_id" = Uuid, Path, description = "Whom")),
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
