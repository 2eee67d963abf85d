//! Uploads, and the caller's media.

use crate::domain::media::parts::{self, part_count};
use crate::domain::media::service;
use crate::domain::media::uploads::{self, NewUpload};
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::http::kit::extractors::{Body, Handle, Ids, Query, charge_more, limit, replayed};
use crate::http::kit::problem::{Code, Problem};
use crate::http::media::content::MediaBytes;
use crate::http::media::part_body::PartBody;
use crate::model::account::Caller;
use crate::model::ids::{ClientMediaId, MAX_SEQ, MediaId};
use crate::model::page::{MediaCursor, from_cursor, to_cursor};
use crate::model::rate_limit::Subject;
use crate::model::validators::{bytes, within};
use crate::model::wire::media::MediaKind;
use crate::model::wire::media::{IMAGE_BYTES, Media, Upload};
use crate::model::wire::violation::Violation;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// The types of pictures.
const IMAGE_TYPES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// The types of videos.
const VIDEO_TYPES: [&str; 3] = ["video/mp4", "video/webm", "video/quicktime"];

/// An upload to create.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"client_media_id": "0199a3c0-0000-7000-8000-0000000000c1", "kind": "image", "name": "cat.jpg",
    "mime": "image/jpeg", "size": 182044}))]
pub struct CreateMediaRequest {
    /// The caller's id for this upload: the idempotency key.
    #[garde(skip)]
    client_media_id: ClientMediaId,
    /// The kind, that of the message.
    #[garde(skip)]
    kind: MediaKind,
    /// File name, 1 to 255 bytes of UTF-8.
    #[garde(custom(bytes(1..=255)))]
    #[schema(min_length = 1, max_length = 255)]
    name: String,
    /// Media type: of an image `image/jpeg`, `image/png`, `image/gif` or `image/webp`, of a video `video/mp4`, `video/webm` or
    /// `video/quicktime`, of a file any.
    #[garde(custom(bytes(1..=127)))]
    #[schema(min_length = 1, max_length = 127)]
    mime: String,
    /// Size in bytes, up to `limits.media_bytes`, of an image up to `limits.media_image_bytes`.
    #[garde(custom(within(1..=MAX_SEQ)))]
    #[schema(minimum = 1, maximum = 9007199254740991i64)]
    size: i64,
    /// The SHA-256 digest of the bytes, in base64. If it is given, other bytes are rejected.
    #[garde(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 44, max_length = 44)]
    sha256: Option<String>,
    /// The SHA-256 digests of the parts, in base64 and in order: to send the parts to the store itself, where the operator allows it
    /// (`direct` of the response).
    #[garde(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1)]
    part_sha256: Option<Vec<String>>,
    /// Width in pixels; required for a video, and found for an image.
    #[garde(inner(custom(within(1..=100_000))))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100_000)]
    width: Option<i32>,
    /// Height in pixels; required for a video, and found for an image.
    #[garde(inner(custom(within(1..=100_000))))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100_000)]
    height: Option<i32>,
    /// Length in milliseconds, of a video only, where it is required.
    #[garde(inner(custom(within(0..=MAX_SEQ))))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    duration_ms: Option<i64>,
}

/// The requested page of the caller's media.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListMediaQuery {
    /// The size of the page, 1 to 500. Default: 100.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// A page of the caller's media.
#[derive(Serialize, ToSchema)]
pub struct MediaPage {
    /// The media, newest first.
    media: Vec<Media>,
    /// The `cursor` for the next page; null on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
    /// What the caller's media and uploads use, in bytes.
    used_bytes: i64,
    /// What they may use.
    quota_bytes: i64,
}

impl CreateMediaRequest {
    fn check(&self) -> Result<(), Problem> {
        let refuse = |pointer: &str, detail: &str| Err(Violation::new(pointer, detail).into());
        let is_digest = |text: &String| {
            let bytes = BASE64_STANDARD.decode(text);
            bytes.is_ok_and(|bytes| bytes.len() == 32)
        };
        if !self.sha256.iter().all(is_digest) {
            return refuse("/sha256", "must be a SHA-256 digest in base64");
        }
        if let Some(digests) = &self.part_sha256
            && (digests.len() != part_count(self.size) || !digests.iter().all(is_digest))
        {
            let detail = "must have the SHA-256 digest of each part in base64";
            return refuse("/part_sha256", detail);
        }
        let is_video = self.kind == MediaKind::Video;
        if !is_video && self.duration_ms.is_some() {
            return refuse("/duration_ms", "must be given for videos only");
        }
        if self.kind == MediaKind::File && (self.width.is_some() || self.height.is_some()) {
            return refuse("/width", "must not be given for files");
        }
        for (pointer, is_missing) in [
            ("/width", self.width.is_none()),
            ("/height", self.height.is_none()),
            ("/duration_ms", self.duration_ms.is_none()),
        ] {
            if is_video && is_missing {
                return refuse(pointer, "is required for a video");
            }
        }
        let is_type = |types: &[&str]| types.contains(&&*self.mime);
        let is_allowed = match self.kind {
            MediaKind::Image => is_type(&IMAGE_TYPES),
            MediaKind::Video => is_type(&VIDEO_TYPES),
            MediaKind::File => true,
        };
        match is_allowed {
            true => Ok(()),
            false => Err(Problem::new(Code::UnsupportedMediaType)),
        }
    }

    fn parsed(self) -> serde_json::Result<NewUpload> {
        // A picture has the width and height that are found.
        let is_video = self.kind == MediaKind::Video;
        Ok(NewUpload {
            declared: serde_json::to_string(&self)?,
            client_id: self.client_media_id,
            kind: self.kind,
            name: self.name,
            mime: self.mime,
            size: self.size,
            sha256: self.sha256,
            dimensions: self.width.zip(self.height).filter(|_| is_video),
            duration_ms: self.duration_ms,
            part_digests: self.part_sha256.unwrap_or_default(),
        })
    }
}

/// Create an upload
///
/// Its size is reserved. Then send its parts (`PUT /v1/media/{id}/parts/{part}`), in any order, and complete it. A repeat with the same
/// `client_media_id` returns the upload as it is. An upload that is not complete after 24 hours is deleted, and so are media that no
/// message refers to 24 hours after they are ready.
#[utoipa::path(post, path = "/v1/media", tag = "Media", request_body = CreateMediaRequest,
    responses((status = 201, description = "The upload", body = Upload,
            headers(("Location" = String, description = "The media"))),
        (status = 200, description = "The upload was created before", body = Upload,
            headers(("Idempotent-Replayed" = String, description = "`true`")))),
    extensions(("x-problems" = json!(["media_disabled", "limit_reached", "client_msg_id_reused"]))))]
pub async fn create_media(
    request: HttpRequest,
    delivery: Handle<Delivery>,
    caller: Caller,
    Body(body): Body<CreateMediaRequest>,
) -> Result<HttpResponse, Problem> {
    body.check()?;
    let service = service(&delivery)?;
    let most = match body.kind {
        MediaKind::Image => IMAGE_BYTES.min(service.config.bytes),
        MediaKind::Video | MediaKind::File => service.config.bytes,
    };
    if body.size > most {
        return Err(Problem::new(Code::PayloadTooLarge));
    }
    charge_upload(&request, caller, body.size).await?;
    let new = body.parsed().map_err(Error::from)?;
    let created = uploads::create(&delivery, caller, new).await?;
    let mut response = match created.replayed {
        true => replayed(),
        false => HttpResponse::Created(),
    };
    let path = format!("/v1/media/{}", created.upload.media.id);
    response.insert_header((LOCATION, path));
    Ok(response.json(created.upload))
}

/// Counts bytes among those that a user uploads.
async fn charge_upload(request: &HttpRequest, caller: Caller, bytes: i64) -> Result<(), Problem> {
    let mebibytes = usize::try_from(bytes >> 20).unwrap_or(usize::MAX);
    charge_more(request, &Subject::Upload(caller.user), mebibytes + 1).await
}

/// Read an upload
///
/// After a lost connection: send the parts that are not `received`.
#[utoipa::path(get, path = "/v1/media/{id}/upload", tag = "Media",
    params(("id" = Uuid, Path, description = "The media")),
    responses((status = 200, description = "The upload", body = Upload)),
    extensions(("x-problems" = json!(["not_found", "media_disabled"]))))]
pub async fn get_upload(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id]): Ids<1>,
) -> Result<web::Json<Upload>, Problem> {
    let upload = uploads::get_upload(&delivery, caller, MediaId(id)).await?;
    Ok(web::Json(upload))
}

/// Send a part of an upload
///
/// Raw bytes: exactly `part_bytes`, but for the last part. A repeat of a part that is `received` replaces it, and counts as an upload of
/// that size. With `Content-Digest` (RFC 9530, `sha-256`) the bytes are checked. A user may send two parts at a time to a node, at
/// 64 KiB a second or more.
#[utoipa::path(put, path = "/v1/media/{id}/parts/{part}", tag = "Media",
    params(("id" = Uuid, Path, description = "The media"), ("part" = i32, Path, description = "The number of the part, from 1"),
        ("Content-Digest" = Option<String>, Header, description = "`sha-256=:…:`, the digest of the part in base64")),
    request_body(content = MediaBytes, content_type = "application/octet-stream"),
    responses((status = 204, description = "The part is stored")),
    extensions(("x-problems" = json!(["validation", "not_found", "conflict", "media_disabled", "request_timeout",
        "unsupported_media_type"]))))]
pub async fn upload_part(
    request: HttpRequest,
    delivery: Handle<Delivery>,
    caller: Caller,
    path: web::Path<(String, String)>,
    body: PartBody,
) -> Result<HttpResponse, Problem> {
    let (id, part) = path.into_inner();
    let (Ok(id), Ok(part)) = (Uuid::try_parse(&id), part.parse()) else {
        return Err(Problem::new(Code::NotFound));
    };
    // First, so that parts which are refused for want of memory cost PostgreSQL nothing.
    let memory = service(&delivery)?.parts.begin(caller.user)?;
    let expected = parts::begin_part(&delivery, caller, MediaId(id), part).await?;
    body.check()?;
    if expected.is_repeat {
        charge_upload(&request, caller, expected.size).await?;
    }
    let (bytes, memory) = body.read(expected.size, memory).await?;
    parts::put_part(&delivery, expected, bytes, memory).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Complete an upload
///
/// The server reads the bytes: their size, their type, the dimensions of a picture. It waits up to ten seconds for the end; if `state`
/// is still `processing`, ask again. A repeat returns the present state. A picture loses its metadata (EXIF, XMP, comments; the
/// orientation stays) and gets smaller forms.
#[utoipa::path(post, path = "/v1/media/{id}/complete", tag = "Media",
    params(("id" = Uuid, Path, description = "The media")),
    responses((status = 200, description = "The media", body = Media)),
    extensions(("x-problems" = json!(["not_found", "conflict", "media_disabled"]))))]
pub async fn complete_media(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id]): Ids<1>,
) -> Result<web::Json<Media>, Problem> {
    let media = uploads::complete(&delivery, caller, MediaId(id)).await?;
    Ok(web::Json(media))
}

/// Read media of the caller
#[utoipa::path(get, path = "/v1/media/{id}", tag = "Media",
    params(("id" = Uuid, Path, description = "The media")),
    responses((status = 200, description = "The media", body = Media)),
    extensions(("x-problems" = json!(["not_found", "media_disabled"]))))]
pub async fn get_media(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id]): Ids<1>,
) -> Result<web::Json<Media>, Problem> {
    let stored = uploads::get(&delivery, caller, MediaId(id)).await?;
    Ok(web::Json(stored.media))
}

/// Delete media of the caller
///
/// Also an upload that is not complete. Media that a message refers to stay: recall the message. A repeat is safe for a day.
#[utoipa::path(delete, path = "/v1/media/{id}", tag = "Media",
    params(("id" = Uuid, Path, description = "The media")),
    responses((status = 204, description = "The media are deleted")),
    extensions(("x-problems" = json!(["not_found", "conflict", "media_disabled"]))))]
pub async fn delete_media(
    delivery: Handle<Delivery>,
    caller: Caller,
    Ids([id]): Ids<1>,
) -> Result<HttpResponse, Problem> {
    uploads::delete(&delivery, caller, MediaId(id)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// List the caller's media
#[utoipa::path(get, path = "/v1/media", tag = "Media", params(ListMediaQuery),
    responses((status = 200, description = "A page", body = MediaPage)),
    extensions(("x-problems" = json!(["validation", "media_disabled"]))))]
pub async fn list_media(
    delivery: Handle<Delivery>,
    caller: Caller,
    Query(query): Query<ListMediaQuery>,
) -> Result<web::Json<MediaPage>, Problem> {
    let limit = limit(query.limit)?;
    let after = query.cursor.as_deref().map(from_cursor).transpose()?;
    let before = after.map(|cursor: MediaCursor| cursor.before);
    let page = uploads::page(&delivery, caller, before, limit.get()).await?;
    let last = page.media.last().filter(|_| page.has_more);
    let next_cursor = last.map(|last| to_cursor(&MediaCursor { before: last.id }));
    Ok(web::Json(MediaPage {
        next_cursor: next_cursor.transpose().map_err(Error::from)?,
        used_bytes: page.used,
        quota_bytes: service(&delivery)?.config.quota,
        media: page.media,
    }))
}
