//! Members of conversations.

use crate::domain::messaging::members;
use crate::engine::admission::Admission;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{
    Body, Handle, Ids, PeopleQuery, Query, charge_more, limit, people_cost,
};
use crate::http::kit::optional::present;
use crate::http::kit::problem::Problem;
use crate::http::messaging::conversations::MAX_PEOPLE;
use crate::model::account::Caller;
use crate::model::ids::{ConversationId, UserId};
use crate::model::rate_limit::Subject;
use crate::model::time::Timestamp;
use crate::model::validators::items;
use crate::model::wire::member::{Member, Role};
use crate::model::wire::violation::Violation;
use actix_web::{HttpRequest, HttpResponse, web};
use garde::Validate;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// A page of members.
#[derive(Serialize, ToSchema)]
pub struct MemberPage {
    /// The members, ordered by user id.
    members: Vec<Member>,
    /// The `cursor` for the next page; null on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// People to add.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"user_ids": ["0199a3c0-0000-7000-8000-00000000000b"]}))]
pub struct AddMembersRequest {
    /// 1 to 1,000 users.
    #[garde(custom(items(1..=MAX_PEOPLE)))]
    #[schema(min_items = 1, max_items = 1000)]
    user_ids: Vec<UserId>,
}

/// The outcome for each person.
#[derive(Serialize, ToSchema)]
pub struct AddedMembers {
    /// The people that were added now.
    added: Vec<UserId>,
    /// The people that were members before.
    already_members: Vec<UserId>,
    /// The people that were not added, because they are banned, block the caller, are blocked by the caller, or their privacy settings
    /// do not allow it.
    refused: Vec<UserId>,
}

/// A change of a member, with at least one of the two fields.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1, example = json!({"role": "admin"}))]
pub struct UpdateMemberRequest {
    /// The new role. `owner` transfers the ownership: the caller becomes an admin.
    #[garde(skip)]
    role: Option<Role>,
    /// The end of the mute, during which the member cannot post; null ends it now.
    #[garde(skip)]
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Timestamp>)]
    muted_until: Option<Option<Timestamp>>,
}

/// List the members
///
/// For members only. Ordered by user id.
#[utoipa::path(get, path = "/v1/conversations/{id}/members", tag = "Members",
    params(("id" = Uuid, Path, description = "The conversation"), PeopleQuery),
    responses((status = 200, description = "A page", body = MemberPage)),
    extensions(("x-problems" = json!(["validation", "not_found"]))))]
pub async fn list_members(
    delivery: Handle<Delivery>,
    admission: Handle<Admission>,
    caller: Caller,
    Ids([id]): Ids<1>,
    Query(query): Query<PeopleQuery>,
) -> Result<web::Json<MemberPage>, Problem> {
    let limit = limit(query.limit)?;
    let after = query.after()?;
    let page = members::page(
        &delivery,
        &admission,
        caller,
        ConversationId(id),
        after,
        limit,
    )
    .await?;
    Ok(web::Json(MemberPage {
        members: page.items,
        next_cursor: page.next_cursor,
    }))
}

/// Add members
///
/// For the owner and admins of a group. To join a public channel, a person adds themselves. New members see messages from now on
/// and get a `conversation` entry; the other members get a `members` entry, with read fan-out only the caller. With more members
/// than the server's limit (500 by default) a group switches to read fan-out permanently, and every member gets a
/// `conversation` entry with `fanout: "read"`. If a user is unknown, or the limit of members would be exceeded, nobody is added.
/// A person that is banned, blocks the caller, is blocked by the caller, does not accept it (privacy settings, or an account that is
/// not in use) is not added (`refused`); without any other person in the request the answer is `forbidden`, `blocked` or
/// `not_accepted`. To a banned person a public channel is `not_found`, and so is a channel
/// without members to everybody. A person that left while muted is still muted until the same time; the `members` entry has it
/// in `changed`.
#[utoipa::path(post, path = "/v1/conversations/{id}/members", tag = "Members",
    params(("id" = Uuid, Path, description = "The group")), request_body = AddMembersRequest,
    responses((status = 200, description = "The people are members, except `refused` ones", body = AddedMembers)),
    extensions(("x-problems" = json!(["not_found", "forbidden", "blocked", "not_accepted", "limit_reached"]))))]
pub async fn add_members(
    request: HttpRequest,
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id]): Ids<1>,
    Body(body): Body<AddMembersRequest>,
) -> Result<web::Json<AddedMembers>, Problem> {
    charge_more(
        &request,
        &Subject::User(caller.user),
        people_cost(body.user_ids.len()) - 1,
    )
    .await?;
    let users: BTreeSet<_> = body.user_ids.into_iter().collect();
    let members::Added { added, refused } =
        members::add(&delivery, caller, ConversationId(id), users.clone()).await?;
    let is_new = |user: &UserId| added.contains(user) || refused.contains(user);
    let already_members = users.into_iter().filter(|user| !is_new(user)).collect();
    Ok(web::Json(AddedMembers {
        added,
        already_members,
        refused,
    }))
}

/// Remove a member, or leave
///
/// With the caller's own id, the caller leaves the group. If the caller is the owner, the longest-serving admin becomes the owner,
/// or without admins the longest-serving member. Otherwise the member is removed, who must have a lower role than the caller.
/// The removed person gets a last entry with `conversation: null`, and the conversation is `not_found` to them. A group or
/// channel without members is `not_found` to everybody, permanently. A person that was removed from a public channel may join
/// again, unless they are banned.
#[utoipa::path(delete, path = "/v1/conversations/{id}/members/{user_id}", tag = "Members",
    params(("id" = Uuid, Path, description = "The group"), ("user_id" = Uuid, Path, description = "The member")),
    responses((status = 204, description = "Removed")),
    extensions(("x-problems" = json!(["validation", "not_found", "forbidden"]))))]
pub async fn remove_member(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id, user]): Ids<2>,
) -> Result<HttpResponse, Problem> {
    members::remove(&delivery, caller, ConversationId(id), UserId(user)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Change a member's role or mute
///
/// The owner changes roles. The owner and admins mute members with a lower role. A muted member can read and leave, but not
/// post. A mute persists if the member leaves and returns before its end.
#[utoipa::path(patch, path = "/v1/conversations/{id}/members/{user_id}", tag = "Members",
    params(("id" = Uuid, Path, description = "The group"), ("user_id" = Uuid, Path, description = "The member")),
    request_body = UpdateMemberRequest,
    responses((status = 200, description = "The member as changed", body = Member)),
    extensions(("x-problems" = json!(["not_found", "forbidden"]))))]
pub async fn update_member(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id, user]): Ids<2>,
    Body(body): Body<UpdateMemberRequest>,
) -> Result<web::Json<Member>, Problem> {
    if body.role.is_none() && body.muted_until.is_none() {
        return Err(Violation::new("", "must name role, muted_until or both").into());
    }
    let (id, user) = (ConversationId(id), UserId(user));
    let member = members::update(&delivery, caller, id, user, body.role, body.muted_until).await?;
    Ok(web::Json(member))
}
