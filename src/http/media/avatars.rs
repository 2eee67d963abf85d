//! Uploaded pictures of users, groups and channels.

use crate::domain::media::{avatars, service};
use crate::engine::auth::Auth;
use crate::engine::delivery::Delivery;
use crate::http::kit::extractors::{Body, Handle, Ids, Query, charge};
use crate::http::kit::problem::Problem;
use crate::http::kit::response_context::MEDIA_LINKS;
use crate::http::kit::security_headers::ResponseClass;
use crate::http::media::content::{MediaBytes, serve};
use crate::model::account::Caller;
use crate::model::ids::{ConversationId, UserId};
use crate::model::rate_limit::Subject;
use crate::model::time::Timestamp;
use crate::model::validators::items;
use crate::model::wire::violation::Violation;
use actix_web::{HttpRequest, HttpResponse, web};
use garde::Validate;
use serde::{Deserialize, Serialize};
use std::iter::zip;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// The most links of one request.
const MAX_LINKS: usize = 100;

/// What makes the address of a picture change with it.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AvatarQuery {
    /// As in the `avatar_url`. The present picture is served, whatever it is.
    #[param(value_type = Option<String>)]
    #[serde(rename = "v")]
    _version: Option<String>,
}

/// Read the uploaded picture of a user
///
/// For all users, in the form `small`: at most 320 pixels a side. `GET` and `HEAD`, as `GET /v1/conversations/{id}/messages/{seq}/media`.
#[utoipa::path(get, path = "/v1/users/{id}/avatar", tag = "Media",
    params(("id" = Uuid, Path, description = "The user"), AvatarQuery),
    responses((status = 200, description = "The bytes", body = MediaBytes, content_type = "application/octet-stream"),
        (status = 206, description = "The range", body = MediaBytes, content_type = "application/octet-stream"),
        (status = 304, description = "Not modified"),
        (status = 307, description = "The bytes are at `Location`, for a minute (`TIDELINE_MEDIA_REDIRECT`)"),
        (status = 416, description = "No such range; `Content-Range` has the size")),
    extensions(("x-problems" = json!(["validation", "not_found", "media_disabled"]))))]
pub async fn get_user_avatar(
    request: HttpRequest,
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id]): Ids<1>,
    Query(_): Query<AvatarQuery>,
) -> Result<HttpResponse, Problem> {
    charge(&request, &Subject::Download(caller.user)).await?;
    let object = avatars::of_user(&delivery, UserId(id)).await?;
    serve(&request, &delivery, object, false, ResponseClass::Media).await
}

/// Read the picture of a group or channel
///
/// For its members, in the form `small`: at most 320 pixels a side. `GET` and `HEAD`, as
/// `GET /v1/conversations/{id}/messages/{seq}/media`.
#[utoipa::path(get, path = "/v1/conversations/{id}/avatar", tag = "Media",
    params(("id" = Uuid, Path, description = "The conversation"), AvatarQuery),
    responses((status = 200, description = "The bytes", body = MediaBytes, content_type = "application/octet-stream"),
        (status = 206, description = "The range", body = MediaBytes, content_type = "application/octet-stream"),
        (status = 304, description = "Not modified"),
        (status = 307, description = "The bytes are at `Location`, for a minute (`TIDELINE_MEDIA_REDIRECT`)"),
        (status = 416, description = "No such range; `Content-Range` has the size")),
    extensions(("x-problems" = json!(["validation", "not_found", "media_disabled"]))))]
pub async fn get_conversation_avatar(
    request: HttpRequest,
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id]): Ids<1>,
    Query(_): Query<AvatarQuery>,
) -> Result<HttpResponse, Problem> {
    charge(&request, &Subject::Download(caller.user)).await?;
    let object = avatars::of_group(&delivery, caller, ConversationId(id)).await?;
    serve(&request, &delivery, object, false, ResponseClass::Media).await
}

/// The users and conversations for whose pictures links are made: 1 to 100 together.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1, example = json!({"user_ids": ["0199a3c0-0000-7000-8000-00000000000a"],
    "conversation_ids": ["0199a3c0-0000-7000-8000-0000000000a1"]}))]
pub struct CreateAvatarLinksRequest {
    /// Users.
    #[garde(custom(items(0..=MAX_LINKS)))]
    #[serde(default)]
    #[schema(max_items = 100, required = false)]
    user_ids: Vec<UserId>,
    /// Groups and channels.
    #[garde(custom(items(0..=MAX_LINKS)))]
    #[serde(default)]
    #[schema(max_items = 100, required = false)]
    conversation_ids: Vec<ConversationId>,
}

/// Links to pictures.
#[derive(Serialize, ToSchema)]
pub struct AvatarLinks {
    /// In the order of `user_ids`; null where there is no uploaded picture.
    users: Vec<Option<AvatarLink>>,
    /// In the order of `conversation_ids`; null where there is no picture, or where the caller is not a member.
    conversations: Vec<Option<AvatarLink>>,
}

/// A link to a picture.
#[derive(Serialize, ToSchema)]
pub struct AvatarLink {
    /// The user or the conversation.
    id: Uuid,
    /// Where the bytes are: an address of the host of media (`TIDELINE_MEDIA_PUBLIC_URL`), or a path of this server.
    #[schema(example = "/v1/media/l/a2V5")]
    url: String,
    /// The link is valid until then: one to two hours. It ends when the picture is replaced.
    expires_at: Timestamp,
}

/// Make links to pictures of users and groups
///
/// For `<img>`, which sends no token, as `POST /v1/media/links`: a link is a secret of the caller, and is served as long as the caller may
/// see the picture and the device is logged in.
#[utoipa::path(post, path = "/v1/media/avatar-links", tag = "Media", request_body = CreateAvatarLinksRequest,
    responses((status = 200, description = "The links", body = AvatarLinks)),
    extensions(("x-problems" = json!(["media_disabled"]))))]
pub async fn create_avatar_links(
    delivery: Handle<Delivery>,
    auth: Handle<Auth>,
    caller: Caller,
    Body(body): Body<CreateAvatarLinksRequest>,
) -> Result<web::Json<AvatarLinks>, Problem> {
    let (users, ids) = (body.user_ids, body.conversation_ids);
    if !(1..=MAX_LINKS).contains(&(users.len() + ids.len())) {
        return Err(Violation::new("", "must name 1 to 100 users and conversations").into());
    }
    let now = auth.tokens.clock.now();
    let wanted = (users.clone(), ids.clone());
    let [of_users, of_groups] = avatars::links(&delivery, caller, wanted, now).await?;
    let base = service(&delivery)?.config.public_url.as_deref();
    let base = base.unwrap_or_default();
    let answer = |(id, link): (Uuid, Option<(String, i64)>)| {
        let (token, end) = link?;
        Some(AvatarLink {
            id,
            url: format!("{base}{MEDIA_LINKS}{token}"),
            expires_at: Timestamp::of_seconds(end),
        })
    };
    let user_ids = users.into_iter().map(|id| id.0);
    let group_ids = ids.into_iter().map(|id| id.0);
    Ok(web::Json(AvatarLinks {
        users: zip(user_ids, of_users).map(answer).collect(),
        conversations: zip(group_ids, of_groups).map(answer).collect(),
    }))
}
