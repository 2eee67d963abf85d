//! The people that the caller blocks.

use crate::domain::people::blocks;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Handle, Ids, PeopleQuery, Query, limit};
use crate::http::kit::problem::Problem;
use crate::model::account::Caller;
use crate::model::ids::UserId;
use crate::model::wire::user::User;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

/// A page of blocked people.
#[derive(Serialize, ToSchema)]
pub struct BlockPage {
    /// The people, ordered by id.
    users: Vec<User>,
    /// The `cursor` for the next page; null on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// List the blocked people
#[utoipa::path(get, path = "/v1/me/blocks", tag = "Accounts", params(PeopleQuery),
    responses((status = 200, description = "A page", body = BlockPage)),
    extensions(("x-problems" = json!(["validation"]))))]
pub async fn list_blocks(
    delivery: Handle<Delivery>,
    caller: Caller,
    Query(query): Query<PeopleQuery>,
) -> Result<web::Json<BlockPage>, Problem> {
    let limit = limit(query.limit)?;
    let page = blocks::page(&delivery, caller, query.after()?, limit).await?;
    Ok(web::Json(BlockPage {
        users: page.items,
        next_cursor: page.next_cursor,
    }))
}

/// Block a person
///
/// Between the two people, in both directions, new direct conversations and direct sends are `blocked`, and neither can add the
/// other to a group or channel. Mentions by the blocked person create no entry in the caller's inbox. Earlier messages stay
/// readable, and in groups with both people each still reads the other. The blocked person gets no notification.
#[utoipa::path(put, path = "/v1/me/blocks/{user_id}", tag = "Accounts",
    params(("user_id" = Uuid, Path, description = "The other person")),
    responses((status = 204, description = "Blocked, now or before")),
    extensions(("x-problems" = json!(["validation", "not_found", "limit_reached"]))))]
pub async fn block_user(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([user]): Ids<1>,
) -> Result<HttpResponse, Problem> {
    blocks::block(&delivery, caller, UserId(user)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Unblock a person
#[utoipa::path(delete, path = "/v1/me/blocks/{user_id}", tag = "Accounts",
    params(("user_id" = Uuid, Path, description = "The other person")),
    responses((status = 204, description = "Not blocked by the caller, now or before")),
    extensions(("x-problems" = json!(["not_found"]))))]
pub async fn unblock_user(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([user]): Ids<1>,
) -> Result<HttpResponse, Problem> {
    blocks::unblock(&delivery, caller, UserId(user)).await?;
    Ok(HttpResponse::NoContent().finish())
}
