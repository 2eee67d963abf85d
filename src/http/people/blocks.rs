//! The people whom the caller blocks.

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
    /// The people, by their ids.
    users: Vec<User>,
    /// Give it back as `cursor` for the next page; null on the last one.
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

/// Block somebody
///
/// Stops new direct conversations and direct sends between the two, in both directions (`blocked`), and that either adds the
/// other to a group or channel; mentions by whom one blocks make no entry in one's inbox. What was sent before stays readable,
/// and in groups that both are in already they read each other. They are not told.
#[utoipa::path(put, path = "/v1/me/blocks/{user_id}", tag = "Accounts",
    params(("user_id" = Uuid, Path, description = "Whom")),
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

/// End a block
#[utoipa::path(delete, path = "/v1/me/blocks/{user_id}", tag = "Accounts",
    params(("user_id" = Uuid, Path, description = "Whom")),
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
