//! Profiles, the caller's own account, and user lookup.

use crate::domain::identity::accounts;
use crate::domain::people::profiles::{self, AccountChange};
use crate::engine::auth::Auth;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Body, Handle, Ids, Query};
use crate::http::kit::optional::{given, present};
use crate::http::kit::problem::Problem;
use crate::model::account::{Caller, Username};
use crate::model::ids::{MediaId, UserId};
use crate::model::name::{Name, is_name};
use crate::model::strict::Strict;
use crate::model::time::Timestamp;
use crate::model::validators::{chars, is_emoji, is_username, picture_url};
use crate::model::wire::people::profile::{Account, Profile};
use crate::model::wire::user::{Availability, Status, User};
use crate::model::wire::violation::Violation;
use actix_web::{HttpResponse, web};
use garde::Validate;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// The most ids of one lookup.
const MAX_IDS: usize = 100;

/// A change of the caller's own account, with at least one field.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1, example = json!({"display_name": "Ann", "bio": "Sails on Sundays"}))]
pub struct UpdateMeRequest {
    /// The username, with the same rules as at registration. It changes at most once in 14 days. The former name finds nobody, is
    /// reserved for its owner for 30 days, and may be taken back at any time.
    #[garde(inner(custom(is_username)))]
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "ann", pattern = "^[A-Za-z0-9_.-]{3,32}$")]
    username: Option<String>,
    /// The name that other people see, 1 to 64 Unicode code points, with the same rules as at registration.
    #[garde(inner(custom(is_name(64))))]
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, required = false, example = "Ann", min_length = 1, max_length = 64)]
    display_name: Option<Name>,
    /// The address of a picture, an http or https URL up to 2,048 bytes long, which Tideline does not load; null removes the picture.
    /// The caller's present `avatar_url` changes nothing.
    #[garde(inner(inner(custom(picture_url))))]
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 2048)]
    avatar_url: Option<Option<String>>,
    /// A picture that the caller has uploaded (`kind: "image"`, `state: "ready"`), in place of `avatar_url`; null removes the picture.
    #[garde(skip)]
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<MediaId>)]
    avatar_media_id: Option<Option<MediaId>>,
    /// A text about the caller, up to 500 Unicode code points; null removes it.
    #[garde(inner(inner(custom(chars(1..=500)))))]
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 500)]
    bio: Option<Option<String>>,
    /// A merge patch (RFC 7396) of the attributes: a member that is null is removed, and null removes all. There are at most 32
    /// keys of `a-z`, `0-9`, `_` and `.`, at most 3 levels, and at most 4,096 bytes of JSON.
    #[garde(skip)]
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Object>)]
    attributes: Option<Strict>,
    /// Whether others see what the caller has read. Without it the caller does not see what others have read either.
    #[garde(skip)]
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    read_receipts: Option<bool>,
    /// Whether messages of the caller that others forward name the caller.
    #[garde(skip)]
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    forward_name: Option<bool>,
}

/// A status.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"availability": "auto", "emoji": "🌴", "text": "On holiday", "until": "2026-12-24T18:00:00.000Z"}))]
pub struct StatusRequest {
    /// What others see of the caller's presence.
    #[garde(skip)]
    availability: Availability,
    /// An emoji, up to 64 bytes of UTF-8.
    #[garde(inner(custom(is_emoji)))]
    #[schema(min_length = 1, max_length = 64)]
    emoji: Option<String>,
    /// A text of 1 to 100 Unicode code points, with the rules of a display name.
    #[garde(inner(custom(is_name(100))))]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    text: Option<Name>,
    /// When it ends; null, or no value: when the caller ends it.
    #[garde(skip)]
    until: Option<Timestamp>,
}

/// Users.
#[derive(Serialize, ToSchema)]
pub struct UserList {
    /// The users in the order of their ids, without unknown ones.
    users: Vec<User>,
    /// The users whose `rev` is the one that the request gives.
    unchanged: Vec<UserId>,
}

/// The requested users, by ids or by name.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UsersQuery {
    /// Up to 100 ids, separated by commas. After an id, a colon and the `rev` that the client knows: the user is sent only if it
    /// has changed since.
    #[param(example = "0199a3c0-0000-7000-8000-000000000001")]
    ids: Option<String>,
    /// An exact username, in any case.
    username: Option<String>,
}

/// Read the caller's own account
#[utoipa::path(get, path = "/v1/me", tag = "Accounts",
    responses((status = 200, description = "The caller", body = Account)))]
pub async fn get_me(
    delivery: Handle<Delivery>,
    caller: Caller,
) -> Result<web::Json<Account>, Problem> {
    Ok(web::Json(profiles::account(&delivery, caller).await?))
}

/// Change the caller's own account
///
/// A field that is absent is not changed. The caller's devices get a `me` entry, unless nothing has changed.
#[utoipa::path(patch, path = "/v1/me", tag = "Accounts", request_body = UpdateMeRequest,
    responses((status = 200, description = "The caller, changed", body = Account)),
    extensions(("x-problems" = json!(["conflict", "limit_reached", "not_found", "media_not_ready", "media_disabled"]))))]
pub async fn update_me(
    delivery: Handle<Delivery>,
    caller: Caller,
    Body(body): Body<UpdateMeRequest>,
) -> Result<web::Json<Account>, Problem> {
    let change = AccountChange {
        username: body.username.as_deref().and_then(Username::new_name),
        display_name: body.display_name.map(String::from),
        avatar_url: body.avatar_url,
        avatar_media: body.avatar_media_id,
        bio: body.bio,
        attributes: body.attributes.map(|Strict(patch)| patch),
        read_receipts: body.read_receipts,
        forward_name: body.forward_name,
    };
    if change == AccountChange::default() {
        return Err(Violation::new("", "must name at least one field").into());
    }
    if change.avatar_url.is_some() && change.avatar_media.is_some() {
        let detail = "must not be given together with avatar_url";
        return Err(Violation::new("/avatar_media_id", detail).into());
    }
    if change
        .attributes
        .as_ref()
        .is_some_and(|patch| !(patch.is_object() || patch.is_null()))
    {
        return Err(Violation::new("/attributes", "must be an object or null").into());
    }
    Ok(web::Json(
        profiles::update(&delivery, caller, change).await?,
    ))
}

/// Set the caller's status
///
/// Others see `emoji`, `text` and `until` in the caller's profile, and `availability` in the caller's presence. The status ends at
/// `until`. The caller's devices get a `me` entry, unless nothing has changed.
#[utoipa::path(put, path = "/v1/me/status", tag = "Accounts", request_body = StatusRequest,
    responses((status = 200, description = "The caller, changed", body = Account)))]
pub async fn update_status(
    delivery: Handle<Delivery>,
    caller: Caller,
    Body(body): Body<StatusRequest>,
) -> Result<web::Json<Account>, Problem> {
    let status = Status {
        availability: Some(body.availability),
        emoji: body.emoji,
        text: body.text.map(String::from),
        until: body.until,
    };
    Ok(web::Json(
        profiles::update_status(&delivery, caller, status).await?,
    ))
}

/// End the caller's status
#[utoipa::path(delete, path = "/v1/me/status", tag = "Accounts",
    responses((status = 204, description = "There is no status, now or before")))]
pub async fn delete_status(
    delivery: Handle<Delivery>,
    caller: Caller,
) -> Result<HttpResponse, Problem> {
    let none = Status {
        availability: Some(Availability::Auto),
        emoji: None,
        text: None,
        until: None,
    };
    profiles::update_status(&delivery, caller, none).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Read the profile of a user
#[utoipa::path(get, path = "/v1/users/{id}", tag = "Accounts",
    params(("id" = Uuid, Path, description = "The user")),
    responses((status = 200, description = "The profile", body = Profile)),
    extensions(("x-problems" = json!(["not_found"]))))]
pub async fn get_user(
    delivery: Handle<Delivery>,
    _caller: Caller,
    Ids([id]): Ids<1>,
) -> Result<web::Json<Profile>, Problem> {
    Ok(web::Json(profiles::profile(&delivery, UserId(id)).await?))
}

/// Find users
///
/// By ids or by exact username; exactly one of the two must be given.
#[utoipa::path(get, path = "/v1/users", tag = "Accounts", params(UsersQuery),
    responses((status = 200, description = "The users that exist", body = UserList)),
    extensions(("x-problems" = json!(["validation"]))))]
pub async fn list_users(
    auth: Handle<Auth>,
    _caller: Caller,
    Query(query): Query<UsersQuery>,
) -> Result<web::Json<UserList>, Problem> {
    let (users, known) = match (query.ids, query.username) {
        (Some(ids), None) => {
            let known = parse_ids(&ids)?;
            let ids = known.keys().copied().collect();
            (accounts::users_by_ids(&auth, ids).await?, known)
        }
        (None, Some(name)) => {
            let user = match Username::parse(&name) {
                Some(name) => accounts::user_by_name(&auth, name).await?,
                None => None,
            };
            (user.into_iter().collect(), BTreeMap::new())
        }
        (Some(_), Some(_)) => {
            let detail = "must not be given together with username";
            return Err(Violation::new("ids", detail).into());
        }
        (None, None) => {
            let detail = "must be given when username is not";
            return Err(Violation::new("ids", detail).into());
        }
    };
    let is_known = |user: &User| known.get(&user.id).copied().flatten() == Some(user.rev);
    let (same, users): (Vec<_>, Vec<_>) = users.into_iter().partition(is_known);
    Ok(web::Json(UserList {
        users,
        unchanged: same.into_iter().map(|user| user.id).collect(),
    }))
}

/// The ids of a lookup, each with the number of the profile that the client knows.
fn parse_ids(text: &str) -> Result<BTreeMap<UserId, Option<i64>>, Problem> {
    let one = |text: &str| {
        let (id, rev) = match text.split_once(':') {
            Some((id, rev)) => (id, Some(rev.parse().ok()?)),
            None => (text, None),
        };
        Some((UserId(Uuid::try_parse(id).ok()?), rev))
    };
    let mut parts = text.split(',');
    let ids: Option<BTreeMap<_, _>> = parts.by_ref().take(MAX_IDS).map(one).collect();
    ids.filter(|_| parts.next().is_none()).ok_or_else(|| {
        let detail =
            format!("must be up to {MAX_IDS} ids, each with or without a rev, separated by commas");
        Problem::invalid(vec![Violation::new("ids", detail)])
    })
}
