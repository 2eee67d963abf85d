//! The only table of errors: each code with its status, its title and advice for clients. Every failure leaves the server as an
//! RFC 9457 `application/problem+json` that is made here.

use crate::engine::error::Error;
use crate::model::ids::Epoch;
use crate::model::rate_limit::QuotaStatus;
use crate::model::resync::Resync;
use crate::model::wire::draft::Draft;
use crate::model::wire::message::Message;
use crate::model::wire::violation::Violation;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

macro_rules! codes {
    ($($variant:ident $code:literal $status:ident $title:literal $advice:literal;)*) => {
        /// The codes that clients switch on. An open set.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = $advice] $variant),*
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The code on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }

            /// Its HTTP status.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),* }
            }

            /// Its title.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),* }
            }

            /// What it means, and what a client should do.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice),* }
            }
        }
    };
}

codes! {
    Validation "validation" BAD_REQUEST "Validation failed"
        "Malformed or out-of-range input. `errors` lists each fault with its position in the input. Do not repeat the request unchanged.";
    PresenceCursorInvalid "presence_cursor_invalid" BAD_REQUEST "Invalid presence cursor"
        "The cursor is older than 24 hours, belongs to another user or was not made here. Make a new one: `POST /v1/presence/cursors`.";
    Unauthenticated "unauthenticated" UNAUTHORIZED "No valid access token"
        "The access token is missing, malformed or not issued by this server. Log in.";
    TokenExpired "token_expired" UNAUTHORIZED "Access token expired"
        "The access token has expired: refresh it and repeat the request.";
    DeviceRevoked "device_revoked" UNAUTHORIZED "Device logged out"
        "This device was logged out or removed. Log in again.";
    RefreshInvalid "refresh_invalid" UNAUTHORIZED "Invalid refresh token"
        "The refresh token is unknown, spent or expired. Log in again.";
    InvalidCredentials "invalid_credentials" UNAUTHORIZED "Wrong username or password"
        "The user does not exist, or the password is wrong. The response is the same for both.";
    UserDeactivated "user_deactivated" UNAUTHORIZED "Account deactivated"
        "The operator has deactivated this account, and only the operator can end that.";
    Forbidden "forbidden" FORBIDDEN "Forbidden"
        "The caller is not permitted to do this here. Do not repeat the request.";
    Muted "muted" FORBIDDEN "Muted"
        "The caller is muted in this conversation; `me.muted_until` of the conversation is when the mute ends.";
    Blocked "blocked" FORBIDDEN "Blocked"
        "One of the two people blocks the other: neither can send to the other or add the other to a group.";
    NotAccepted "not_accepted" FORBIDDEN "Not accepted"
        "The privacy settings of the other person do not allow this to the caller, or their account is not in use. Do not repeat the request.";
    MediaDisabled "media_disabled" FORBIDDEN "No media store"
        "This server keeps no media (`media` is missing in the features of `GET /v1/capabilities`). Send links to media elsewhere.";
    SearchDisabled "search_disabled" FORBIDDEN "No search"
        "This server does not search messages (`search` is missing in the features of `GET /v1/capabilities`).";
    NotFound "not_found" NOT_FOUND "Not found"
        "The resource does not exist, or the caller may not see it. The response is the same for both on purpose.";
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED "Method not allowed"
        "The path exists with other methods; `Allow` lists them.";
    RequestTimeout "request_timeout" REQUEST_TIMEOUT "Request timeout"
        "The body did not arrive in time. Repeat the request.";
    PayloadTooLarge "payload_too_large" PAYLOAD_TOO_LARGE "Payload too large"
        "The body is larger than `limits.body_bytes` of `GET /v1/capabilities`, or an upload than `limits.media_bytes` or `limits.media_image_bytes`.";
    UnsupportedMediaType "unsupported_media_type" UNSUPPORTED_MEDIA_TYPE "Unsupported media type"
        "Bodies must be uncompressed JSON: send `Content-Type: application/json` and no `Content-Encoding`. Parts of an upload are `application/octet-stream`. An upload that is refused so has a type that its kind does not allow.";
    HeadTooLarge "head_too_large" REQUEST_HEADER_FIELDS_TOO_LARGE "Request headers too large"
        "The headers are larger than 128 KiB (16 KiB for a wait), or too many. Send fewer or shorter headers, such as cookies.";
    Conflict "conflict" CONFLICT "Conflict"
        "The username is taken or reserved: choose another one, and if the response to `register` was lost, log in. Or the upload is in another state; `detail` says which, and `errors` names the parts that are missing.";
    LimitReached "limit_reached" CONFLICT "Limit reached"
        "A limit of `GET /v1/capabilities` is reached; `detail` names it. Nothing was done.";
    MessageGone "message_gone" CONFLICT "Message gone"
        "The message was recalled or has expired: it cannot be changed any more. Show what is left of it.";
    MediaNotReady "media_not_ready" CONFLICT "Media not ready"
        "The media are still uploaded or processed, or were rejected: `GET /v1/media/{id}` says which. Send the message when `state` is `ready`.";
    VersionConflict "version_conflict" CONFLICT "Version conflict"
        "Another change came first. The problem has the `message` or the `draft` as it is now: show it, and let the user decide.";
    WindowClosed "window_closed" FORBIDDEN "Too late"
        "The time in which a message may be changed so has passed (`limits.edit_seconds`, `limits.recall_seconds` of `GET /v1/capabilities`). Do not repeat the request.";
    ClientMsgIdReused "client_msg_id_reused" UNPROCESSABLE_ENTITY "The client_msg_id belongs to another message"
        "This client_msg_id was used for a message with another kind or content, or this client_media_id for another upload. Use a new id for each new message or upload.";
    ClientConversationIdReused "client_conversation_id_reused" UNPROCESSABLE_ENTITY "The client_conversation_id belongs to another group"
        "This client_conversation_id was used to create a group or channel with another kind, title or members. Use a new id for each new group.";
    CursorAhead "cursor_ahead" CONFLICT "Position beyond the latest entry"
        "The position is beyond the latest seq: it belongs to other data, such as the data before a restore from a backup. Resync: list conversations by id and continue from their `inbox_seq`.";
    EpochChanged "epoch_changed" CONFLICT "Epoch changed"
        "`epoch` is not the current one: the data were restored from a backup, and older positions are void. Resync: list conversations by id and continue from their `inbox_seq`.";
    InboxTrimmed "inbox_trimmed" GONE "Inbox trimmed"
        "Entries after `since_seq` were deleted at the end of the retention period. Resync: list conversations by id and continue from their `inbox_seq`.";
    RateLimited "rate_limited" TOO_MANY_REQUESTS "Too many requests"
        "Repeat after `Retry-After`; `RateLimit-Policy` is the quota. Nothing was done.";
    SlowMode "slow_mode" TOO_MANY_REQUESTS "Slow mode"
        "The conversation is in slow mode (`slow_mode_seconds`): send the next message after `Retry-After`. Nothing was done.";
    Overloaded "overloaded" SERVICE_UNAVAILABLE "Server overloaded"
        "Nothing was done. Repeat after `Retry-After`; repeat a send with the same client_msg_id.";
    StorageUnavailable "storage_unavailable" SERVICE_UNAVAILABLE "Database unavailable"
        "The database or the media store does not answer, or the store is nearly full. A write may or may not have been done. Repeat after `Retry-After`; repeat a send with the same client_msg_id.";
    Internal "internal" INTERNAL_SERVER_ERROR "Internal server error"
        "An unexpected error: a bug of the server. Report it with the `request_id`.";
}

/// `Retry-After` of `storage_unavailable`.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An error response. [`Problem::into_body`] builds its body once the request id is known.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The code.
    pub code: Code,
    detail: Option<String>,
    errors: Vec<Violation>,
    retry_after: Option<Duration>,
    resync: Option<Resync>,
    message: Option<Box<Message>>,
    draft: Option<Box<Draft>>,
    allow: Option<String>,
    /// Whether to send `Accept-Encoding: identity`.
    has_accept_encoding: bool,
    /// The caller's quota, of a rate limit.
    pub quota: Option<Box<QuotaStatus>>,
}

/// RFC 9457 problem details. Clients switch on `code`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// The documentation of the code: `/docs/problems#<code>`.
    #[serde(rename = "type")]
    #[schema(example = "/docs/problems#validation")]
    kind: String,
    /// A short title of the code.
    #[schema(example = "Validation failed")]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 400)]
    status: u16,
    /// What happened and what to do, as a sentence for people. With `validation`: the first rule that the input breaks.
    detail: String,
    /// The code for clients to switch on. An open set.
    #[schema(example = "validation")]
    code: &'static str,
    /// The id of the request, for reports; also in `X-Request-Id`.
    request_id: String,
    /// With `validation`: every fault of the input. With `conflict`: the parts that an upload lacks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<Violation>,
    /// Repeat the request after this time, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// For a resync: the current epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<Epoch>,
    /// For a resync: the oldest seq that is retained.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_seq: Option<i64>,
    /// For a resync: the latest seq.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seq: Option<i64>,
    /// For a resync: the path at which to start over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/v1/conversations")]
    resync: Option<&'static str>,
    /// With `version_conflict` of a message: the message as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<Box<Message>>,
    /// With `version_conflict` of a draft: the draft as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    draft: Option<Box<Draft>>,
}

impl Problem {
    /// A problem with this code and no further details.
    pub fn new(code: Code) -> Self {
        Self {
            code,
            detail: None,
            errors: Vec::new(),
            retry_after: None,
            resync: None,
            message: None,
            draft: None,
            allow: None,
            has_accept_encoding: false,
            quota: None,
        }
    }

    /// Invalid input.
    pub fn invalid(errors: Vec<Violation>) -> Self {
        Self {
            detail: errors.first().map(Violation::sentence),
            errors,
            ..Self::new(Code::Validation)
        }
    }

    /// A method that the path does not serve.
    pub fn method_not_allowed(allow: String) -> Self {
        Self {
            allow: Some(allow),
            ..Self::new(Code::MethodNotAllowed)
        }
    }

    /// A compressed body.
    pub fn compressed_body() -> Self {
        let detail = "the body must not be compressed: send it without `Content-Encoding`";
        Self {
            has_accept_encoding: true,
            ..Self::detailed(Code::UnsupportedMediaType, detail)
        }
    }

    /// A request that cannot be parsed, by the status that actix-http gives it.
    pub fn unreadable(status: u16) -> Self {
        match status {
            408 => Self::detailed(
                Code::RequestTimeout,
                "the head of the request did not arrive in time",
            ),
            431 => Self::new(Code::HeadTooLarge),
            400..500 => {
                let detail =
                    "must be one of HTTP/1.1, with one `Host`, one length and well-formed headers";
                Self::invalid(vec![Violation::new("request", detail)])
            }
            _ => Self::new(Code::Internal),
        }
    }

    fn detailed(code: Code, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..Self::new(code)
        }
    }

    fn resync(code: Code, resync: Resync) -> Self {
        Self {
            resync: Some(resync),
            ..Self::new(code)
        }
    }

    fn retry_later(code: Code, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(code)
        }
    }

    /// The body, with the id of the request.
    pub fn into_body(self, request_id: &str) -> ProblemBody {
        ProblemBody {
            kind: format!("/docs/problems#{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: self.detail.unwrap_or_else(|| self.code.advice().to_owned()),
            code: self.code.as_str(),
            request_id: request_id.to_owned(),
            errors: self.errors,
            retry_after_ms: self
                .retry_after
                .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            epoch: self.resync.map(|resync| resync.epoch),
            first_seq: self.resync.map(|resync| resync.first_seq),
            last_seq: self.resync.map(|resync| resync.last_seq),
            resync: self.resync.map(|_| "/v1/conversations"),
            message: self.message,
            draft: self.draft,
        }
    }

    /// The response, with the id of the request.
    pub fn into_response(self, request_id: &str) -> HttpResponse {
        let mut response = HttpResponse::build(self.code.status());
        response.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        if self.code.status() == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, r#"Bearer realm="tideline""#));
        }
        if let Some(allow) = &self.allow {
            response.insert_header((header::ALLOW, allow.as_str()));
        }
        if self.has_accept_encoding {
            response.insert_header((header::ACCEPT_ENCODING, "identity"));
        }
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        // The body was not read to its end, so the connection cannot be reused.
        if matches!(self.code, Code::RequestTimeout | Code::PayloadTooLarge) {
            response.force_close();
        }
        response.json(self.into_body(request_id))
    }
}

impl From<Violation> for Problem {
    fn from(violation: Violation) -> Self {
        Self::invalid(vec![violation])
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(errors) => Self::invalid(errors),
            Error::Forbidden(why) => Self::detailed(Code::Forbidden, why),
            Error::NotFound => Self::new(Code::NotFound),
            Error::Muted => Self::new(Code::Muted),
            Error::Blocked => {
                Self::detailed(Code::Blocked, "one of the two of you blocks the other")
            }
            Error::NotAccepted => Self::new(Code::NotAccepted),
            Error::PresenceCursorInvalid => Self::new(Code::PresenceCursorInvalid),
            Error::UserDeactivated => Self::new(Code::UserDeactivated),
            Error::LimitReached(what) => Self::detailed(Code::LimitReached, what),
            Error::LimitReachedFor(what, time) => Self {
                retry_after: Some(time),
                ..Self::detailed(Code::LimitReached, what)
            },
            Error::Conflict(what) => Self::detailed(Code::Conflict, what),
            Error::MissingParts(parts) => {
                let missing = |part: &i32| Violation::new(&format!("/parts/{part}"), "is missing");
                Self {
                    errors: parts.iter().map(missing).collect(),
                    ..Self::detailed(Code::Conflict, "the upload lacks a part")
                }
            }
            Error::InvalidCredentials => Self::new(Code::InvalidCredentials),
            Error::Unauthenticated => Self::new(Code::Unauthenticated),
            Error::TokenExpired => Self::new(Code::TokenExpired),
            Error::DeviceRevoked => Self::new(Code::DeviceRevoked),
            Error::RefreshInvalid => Self::new(Code::RefreshInvalid),
            Error::MediaDisabled => Self::new(Code::MediaDisabled),
            Error::SearchDisabled => Self::new(Code::SearchDisabled),
            Error::MediaNotReady => Self::new(Code::MediaNotReady),
            Error::MessageGone => Self::new(Code::MessageGone),
            Error::VersionConflict(message) => Self {
                message: Some(message),
                ..Self::new(Code::VersionConflict)
            },
            Error::DraftConflict(draft) => Self {
                draft: Some(draft),
                ..Self::new(Code::VersionConflict)
            },
            Error::WindowClosed(what) => Self::detailed(
                Code::WindowClosed,
                format!("the message can no longer be {what}"),
            ),
            Error::ClientMsgIdReused => Self::new(Code::ClientMsgIdReused),
            Error::ClientConversationIdReused => Self::new(Code::ClientConversationIdReused),
            Error::CursorAhead(resync) => Self::resync(Code::CursorAhead, resync),
            Error::EpochChanged(resync) => Self::resync(Code::EpochChanged, resync),
            Error::InboxTrimmed(resync) => Self::resync(Code::InboxTrimmed, resync),
            Error::RateLimited(quota) => Self {
                retry_after: quota.retry_after,
                quota: Some(Box::new(quota)),
                ..Self::new(Code::RateLimited)
            },
            Error::SlowMode(after) => Self::retry_later(Code::SlowMode, after),
            Error::Overloaded(after) => Self::retry_later(Code::Overloaded, after),
            Error::StorageUnavailable => Self::retry_later(Code::StorageUnavailable, RETRY_AFTER),
            Error::Internal(why) => {
                log::error!("bug: {why}");
                Self::new(Code::Internal)
            }
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code.as_str())
    }
}

/// Lets handlers use `?`. The middleware replaces this empty response by one with a body and the request id.
impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}
