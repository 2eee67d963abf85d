//! The bytes of media.

use crate::domain::media::objects::ServedObject;
use crate::domain::media::reading;
use crate::engine::auth::Auth;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::media::links::variant;
use crate::http::kit::extractors::{Handle, Ids, MessageIds, Query, charge, charge_address};
use crate::http::kit::problem::Problem;
use crate::http::kit::security_headers::ResponseClass;
use crate::http::media::object_response::respond;
use crate::model::account::Caller;
use crate::model::ids::MediaId;
use crate::model::rate_limit::Subject;
use crate::model::wire::violation::Violation;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// The bytes of media. `Content-Type` is that of a picture, video or sound that a browser may show, else `application/octet-stream`.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub struct MediaBytes(#[expect(dead_code, reason = "only its schema is used")] Vec<u8>);

/// The form of media, and how a browser takes it.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MediaContentQuery {
    /// `original`, `medium` (at most 1280 pixels a side) or `small` (at most 320), of a message also `poster`, the still picture of a
    /// video, of which `medium` and `small` are the smaller forms. For a form that a small picture does not have, the next larger one. Default: `original`.
    #[param(example = "small")]
    variant: Option<String>,
    /// `true`: the browser saves it, and does not show it.
    download: Option<bool>,
}

impl MediaContentQuery {
    fn form(&self) -> Result<&'static str, Problem> {
        form(self.variant.as_deref().unwrap_or("original"), "variant")
    }

    fn is_download(&self) -> bool {
        self.download.unwrap_or(false)
    }
}

/// The form of this name.
pub(super) fn form(name: &str, pointer: &str) -> Result<&'static str, Problem> {
    let detail = "must be original, medium, small or poster";
    variant(name).ok_or_else(|| Violation::new(pointer, detail).into())
}

/// Read the media of a message
///
/// For all who may read the message. `GET` and `HEAD`, with one range (RFC 9110), `If-None-Match` and `If-Range`. A file is always
/// saved, but for audio; pictures and videos are shown.
#[utoipa::path(get, path = "/v1/conversations/{id}/messages/{seq}/media", tag = "Media",
    params(("id" = Uuid, Path, description = "The conversation"), ("seq" = i64, Path, description = "The message"), MediaContentQuery),
    responses((status = 200, description = "The bytes", body = MediaBytes, content_type = "application/octet-stream"),
        (status = 206, description = "The range", body = MediaBytes, content_type = "application/octet-stream"),
        (status = 304, description = "Not modified"),
        (status = 307, description = "The bytes are at `Location`, for a minute (`TIDELINE_MEDIA_REDIRECT`)"),
        (status = 416, description = "No such range; `Content-Range` has the size")),
    extensions(("x-problems" = json!(["validation", "not_found", "media_disabled"]))))]
pub async fn get_message_media(
    request: HttpRequest,
    delivery: Handle<Delivery>,
    caller: Caller,
    MessageIds(id, seq): MessageIds,
    Query(query): Query<MediaContentQuery>,
) -> Result<HttpResponse, Problem> {
    let form = query.form()?;
    charge(&request, &Subject::Download(caller.user)).await?;
    let object = reading::of_message(&delivery, caller, (id, seq), form).await?;
    let class = ResponseClass::Media;
    serve(&request, &delivery, object, query.is_download(), class).await
}

/// Read the bytes of media of the caller
///
/// As `GET /v1/conversations/{id}/messages/{seq}/media`, also before a message refers to them, and as long as the server has them: after
/// the recall of the last message until they are collected.
#[utoipa::path(get, path = "/v1/media/{id}/content", tag = "Media",
    params(("id" = Uuid, Path, description = "The media"), MediaContentQuery),
    responses((status = 200, description = "The bytes", body = MediaBytes, content_type = "application/octet-stream"),
        (status = 206, description = "The range", body = MediaBytes, content_type = "application/octet-stream"),
        (status = 304, description = "Not modified"),
        (status = 307, description = "The bytes are at `Location`, for a minute (`TIDELINE_MEDIA_REDIRECT`)"),
        (status = 416, description = "No such range; `Content-Range` has the size")),
    extensions(("x-problems" = json!(["validation", "not_found", "media_disabled"]))))]
pub async fn get_media_content(
    request: HttpRequest,
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id]): Ids<1>,
    Query(query): Query<MediaContentQuery>,
) -> Result<HttpResponse, Problem> {
    let form = query.form()?;
    charge(&request, &Subject::Download(caller.user)).await?;
    let object = reading::own(&delivery, caller, MediaId(id), form).await?;
    let class = ResponseClass::Media;
    serve(&request, &delivery, object, query.is_download(), class).await
}

/// How a browser takes linked media.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LinkedMediaQuery {
    /// `true`: the browser saves it, and does not show it.
    download: Option<bool>,
}

/// Read media by a link
///
/// Without a token: the link is the secret of the user who asked for it (`POST /v1/media/links`, `POST /v1/media/avatar-links`). The user
/// must still be logged in, and may still read the message or see the picture. An expired or altered link is `not_found`,
/// and counts for the address of the client, like a rejected token.
#[utoipa::path(get, path = "/v1/media/l/{token}", tag = "Media",
    params(("token" = String, Path, description = "The token of the link"), LinkedMediaQuery),
    responses((status = 200, description = "The bytes", body = MediaBytes, content_type = "application/octet-stream"),
        (status = 206, description = "The range", body = MediaBytes, content_type = "application/octet-stream"),
        (status = 304, description = "Not modified"),
        (status = 307, description = "The bytes are at `Location`, for a minute (`TIDELINE_MEDIA_REDIRECT`)"),
        (status = 416, description = "No such range; `Content-Range` has the size")),
    extensions(("x-problems" = json!(["validation", "not_found", "media_disabled"]))), security(()))]
pub async fn get_linked_media(
    request: HttpRequest,
    delivery: Handle<Delivery>,
    auth: Handle<Auth>,
    token: web::Path<String>,
    Query(query): Query<LinkedMediaQuery>,
) -> Result<HttpResponse, Problem> {
    let now = auth.tokens.clock.now();
    let mut opened = reading::of_link(&delivery, &token, now).await;
    if matches!(&opened, Ok((link, _)) if auth.revoked.contains(link.device)) {
        opened = Err(Error::NotFound);
    }
    // As rejected tokens do, a link that opens nothing counts for the address.
    if matches!(opened, Err(Error::NotFound)) {
        charge_address(&request).await?;
    }
    let (link, object) = opened?;
    charge(&request, &Subject::Download(link.user)).await?;
    let is_download = query.download.unwrap_or(false);
    let class = ResponseClass::LinkedMedia;
    serve(&request, &delivery, object, is_download, class).await
}

pub(super) async fn serve(
    request: &HttpRequest,
    delivery: &Handle<Delivery>,
    object: ServedObject,
    is_download: bool,
    class: ResponseClass,
) -> Result<HttpResponse, Problem> {
    respond(request, Arc::clone(delivery), object, is_download, class).await
}
