//! The members of a conversation.

use crate::domain::messaging::members;
use crate::engine::admission::Admission;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{
    Body, Handle, Ids, PeopleQuery, Query, charge_more, limit, of_people,
};
use crate::http::kit::problem::Problem;
use crate::http::messaging::conversations::PEOPLE;
use crate::model::account::Caller;
use crate::model::ids::{ConversationId, UserId};
use crate::model::rate_limit::Subject;
use crate::model::time::Timestamp;
use crate::model::validators::items;
use crate::model::wire::member::{Member, Role};
use crate::model::wire::violation::Violation;
use actix_web::{HttpRequest, HttpResponse, web};
use garde::Validate;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// A page of members.
#[derive(Serialize, ToSchema)]
pub struct MemberPage {
    /// The members, by the ids of the users.
    members: Vec<Member>,
    /// Give it back as `cursor` for the next page; null on the last one.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// People to let in.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"user_ids": ["0199a3c0-0000-7000-8000-00000000000b"]}))]
pub struct AddMembersRequest {
    /// 1 to 1,000 users.
    #[garde(custom(items(1..=PEOPLE)))]
    #[schema(min_items = 1, max_items = 1000)]
    user_ids: Vec<UserId>,
}

/// Who was let in, and who not.
#[derive(Serialize, ToSchema)]
pub struct AddedMembers {
    /// Those who are in since now.
    added: Vec<UserId>,
    /// Those who were in before.
    already_members: Vec<UserId>,
    /// Those who were left out: they are banned, or one of the two, they and the caller, blocks the other.
    refused: Vec<UserId>,
}

/// A change of a member: at least one of the two.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1, example = json!({"role": "admin"}))]
pub struct UpdateMemberRequest {
    /// The new role. `owner` hands the ownership over: the caller becomes an admin.
    #[garde(skip)]
    role: Option<Role>,
    /// Until when the member may not post; null: they may.
    #[garde(skip)]
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Timestamp>)]
    muted_until: Option<Option<Timestamp>>,
}

/// A field that is there, null or not; serde alone takes a null for a field that is not there.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// List the members
///
/// For members only, in the order of the users' ids.
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
/// For the owner and admins of a group; anybody adds themselves to a public channel. Newcomers see what is sent from now on
/// and learn of the group by a `conversation` entry, the others by a `members` entry, of a large group only the caller.
/// Beyond the server's limit (500 members by default) a group becomes large, for good: every member gets a `conversation`
/// entry with `fanout: "read"`. When one of the users is unknown, or there is no room for all, none is added. Somebody who is
/// banned, who blocks the caller or whom the caller blocks is left out (`refused`); when nobody else was asked for, the answer
/// is `forbidden` or `blocked`. To somebody who is banned a public channel is `not_found`, as is one without members. Who was
/// muted when they left is muted again until that time, which `changed` of the `members` entry says.
#[utoipa::path(post, path = "/v1/conversations/{id}/members", tag = "Members",
    params(("id" = Uuid, Path, description = "The group")), request_body = AddMembersRequest,
    responses((status = 200, description = "All of them are members now", body = AddedMembers)),
    extensions(("x-problems" = json!(["not_found", "forbidden", "blocked", "limit_reached"]))))]
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
        of_people(body.user_ids.len()) - 1,
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
/// With the caller's own id it leaves the group; an owner who leaves is followed by the longest-standing admin, else
/// member. Otherwise it removes somebody whose role is below the caller's. Who is out gets a last entry with
/// `conversation: null`, and the conversation is `not_found` from then on. A group or channel whose last member has left is
/// `not_found` to everybody, for good. Who was removed from a public channel may join it again, unless they are banned.
#[utoipa::path(delete, path = "/v1/conversations/{id}/members/{user_id}", tag = "Members",
    params(("id" = Uuid, Path, description = "The group"), ("user_id" = Uuid, Path, description = "The member")),
    responses((status = 204, description = "Out")),
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
/// The owner changes roles; the owner and admins mute whose role is below theirs. A muted member reads and leaves, but
/// does not post; a mute outlives leaving until its time.
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
