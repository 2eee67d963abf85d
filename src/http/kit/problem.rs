//! The only table of errors: each code with its status, its title and what a client should do about it. Every failure,
//! whoever found it, leaves the server as RFC 9457 `application/problem+json` made here.

use crate::engine::error::Error;
use crate::model::ids::Epoch;
use crate::model::rate_limit::QuotaStatus;
use crate::model::resync::Resync;
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

            /// The code as it stands in the problem.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }

            /// The status it comes with.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),* }
            }

            /// The title it comes with.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),* }
            }

            /// What it means for a client.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice),* }
            }
        }
    };
}

codes! {
    Validation "validation" BAD_REQUEST "Validation failed"
        "Malformed or out-of-range input. `errors` lists each fault with its place. Do not repeat it unchanged.";
    Unauthenticated "unauthenticated" UNAUTHORIZED "No valid access token"
        "The access token is missing, malformed or not ours. Log in.";
    TokenExpired "token_expired" UNAUTHORIZED "Access token expired"
        "The access token has expired: refresh it and repeat the request.";
    DeviceRevoked "device_revoked" UNAUTHORIZED "Device logged out"
        "This device was logged out or removed. Log in again.";
    RefreshInvalid "refresh_invalid" UNAUTHORIZED "Invalid refresh token"
        "The refresh token is unknown, used up or expired. Log in again.";
    InvalidCredentials "invalid_credentials" UNAUTHORIZED "Wrong username or password"
        "There is no such user, or the password is wrong. The answer is the same for both.";
    Forbidden "forbidden" FORBIDDEN "Forbidden"
        "The caller may not do this here, whatever the input. Do not repeat it.";
    Muted "muted" FORBIDDEN "Muted"
        "The caller is muted in this conversation; `me.muted_until` of the conversation says until when.";
    Blocked "blocked" FORBIDDEN "Blocked"
        "The other person blocks the caller, or the caller them: neither sends to the other, or adds them to a group.";
    NotFound "not_found" NOT_FOUND "Not found"
        "It does not exist, or the caller may not see it: the two look alike on purpose.";
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED "Method not allowed"
        "The path exists with other methods; `Allow` lists them.";
    RequestTimeout "request_timeout" REQUEST_TIMEOUT "Request timeout"
        "The body did not arrive in time. Repeat the request.";
    PayloadTooLarge "payload_too_large" PAYLOAD_TOO_LARGE "Payload too large"
        "The body is over the limit that `GET /v1/capabilities` names.";
    UnsupportedMediaType "unsupported_media_type" UNSUPPORTED_MEDIA_TYPE "Unsupported media type"
        "Bodies are JSON that is not compressed: send `Content-Type: application/json` and no `Content-Encoding`.";
    HeadTooLarge "head_too_large" REQUEST_HEADER_FIELDS_TOO_LARGE "Request headers too large"
        "The headers are over 128 KiB or too many, or over 16 KiB for a wait: send fewer or shorter ones, such as cookies.";
    Conflict "conflict" CONFLICT "Already taken"
        "The name is taken. Choose another one; after a lost answer to `register`, log in.";
    LimitReached "limit_reached" CONFLICT "Limit reached"
        "A limit of `GET /v1/capabilities` is reached, as `detail` says. Nothing was done.";
    ClientMsgIdReused "client_msg_id_reused" UNPROCESSABLE_ENTITY "The client_msg_id belongs to another message"
        "This client_msg_id was used for a message of other kind or content. Make a new id for a new message.";
    ClientConversationIdReused "client_conversation_id_reused" UNPROCESSABLE_ENTITY "The client_conversation_id belongs to another group"
        "This client_conversation_id was used to make a group or channel of another kind or title, or with other members. Make a new id for a new group.";
    CursorAhead "cursor_ahead" CONFLICT "Position beyond the latest entry"
        "`since_seq` is beyond the latest entry: the position belongs to other data, such as those before a restore from a backup. Resync: list conversations by id and continue from their `inbox_seq`.";
    EpochChanged "epoch_changed" CONFLICT "Epoch changed"
        "`epoch` is not the current one: the data were restored from a backup, and positions from before are void. Resync: list conversations by id and continue from their `inbox_seq`.";
    InboxTrimmed "inbox_trimmed" GONE "Inbox trimmed"
        "Entries after `since_seq` have been deleted by the retention. Resync: list conversations by id and continue from their `inbox_seq`.";
    RateLimited "rate_limited" TOO_MANY_REQUESTS "Too many requests"
        "Repeat after `Retry-After`; `RateLimit-Policy` says how much is allowed. Nothing was done.";
    Overloaded "overloaded" SERVICE_UNAVAILABLE "Server overloaded"
        "Nothing was done. Repeat after `Retry-After`, a send with the same client_msg_id.";
    StorageUnavailable "storage_unavailable" SERVICE_UNAVAILABLE "Database unavailable"
        "A write may or may not have been done. Repeat after `Retry-After`, a send with the same client_msg_id.";
    Internal "internal" INTERNAL_SERVER_ERROR "Internal server error"
        "An unexpected error, which is a bug of the server. Report it with the `request_id`.";
}

/// How long a client should leave a server alone that says "unavailable".
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A failure on its way out. It becomes a body in [`Problem::into_body`], once the request's id is known.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The code.
    pub code: Code,
    detail: Option<String>,
    errors: Vec<Violation>,
    retry_after: Option<Duration>,
    resync: Option<Resync>,
    allow: Option<String>,
    /// Says which encodings of bodies are taken.
    accept: bool,
    /// Where the caller stands with a rate limit.
    pub standing: Option<Box<QuotaStatus>>,
}

/// RFC 9457 problem details. Clients switch on `code`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Where the code is explained: `/docs/problems#<code>`.
    #[serde(rename = "type")]
    #[schema(example = "/docs/problems#validation")]
    kind: String,
    /// The code's title.
    #[schema(example = "Validation failed")]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 400)]
    status: u16,
    /// What happened and what to do, in a sentence for people. Of `validation`: the first rule that the input breaks.
    detail: String,
    /// What clients switch on. An open set.
    #[schema(example = "validation")]
    code: &'static str,
    /// The id of the request, for reports; also in `X-Request-Id`.
    request_id: String,
    /// The single faults of an input.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<Violation>,
    /// When to repeat the request, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// Resync: this life of the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<Epoch>,
    /// Resync: the oldest position that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_seq: Option<i64>,
    /// Resync: the head.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seq: Option<i64>,
    /// Resync: where to start over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/v1/conversations")]
    resync: Option<&'static str>,
}

impl Problem {
    /// A problem of this code, with nothing more to say.
    pub fn new(code: Code) -> Self {
        Self {
            code,
            detail: None,
            errors: Vec::new(),
            retry_after: None,
            resync: None,
            allow: None,
            accept: false,
            standing: None,
        }
    }

    /// Bad input.
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

    /// A body that is compressed.
    pub fn encoded() -> Self {
        let detail = "the body must not be compressed: send it without `Content-Encoding`";
        Self {
            accept: true,
            ..Self::detailed(Code::UnsupportedMediaType, detail)
        }
    }

    /// What cannot be read as a request, by the status that actix gives it.
    pub fn unread(status: u16) -> Self {
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

    fn later(code: Code, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(code)
        }
    }

    /// The body, for this request.
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
        }
    }

    /// The whole answer, for this request.
    pub fn into_response(self, request_id: &str) -> HttpResponse {
        let mut response = HttpResponse::build(self.code.status());
        response.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        if self.code.status() == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, r#"Bearer realm="tideline""#));
        }
        if let Some(allow) = &self.allow {
            response.insert_header((header::ALLOW, allow.as_str()));
        }
        if self.accept {
            response.insert_header((header::ACCEPT_ENCODING, "identity"));
        }
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        // A request that was not read to its end leaves the connection in the middle of a body.
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
            Error::LimitReached(what) => Self::detailed(Code::LimitReached, what),
            Error::Conflict(what) => Self::detailed(Code::Conflict, what),
            Error::InvalidCredentials => Self::new(Code::InvalidCredentials),
            Error::Unauthenticated => Self::new(Code::Unauthenticated),
            Error::TokenExpired => Self::new(Code::TokenExpired),
            Error::DeviceRevoked => Self::new(Code::DeviceRevoked),
            Error::RefreshInvalid => Self::new(Code::RefreshInvalid),
            Error::ClientMsgIdReused => Self::new(Code::ClientMsgIdReused),
            Error::ClientConversationIdReused => Self::new(Code::ClientConversationIdReused),
            Error::CursorAhead(resync) => Self::resync(Code::CursorAhead, resync),
            Error::EpochChanged(resync) => Self::resync(Code::EpochChanged, resync),
            Error::InboxTrimmed(resync) => Self::resync(Code::InboxTrimmed, resync),
            Error::RateLimited(standing) => Self {
                retry_after: standing.retry_after,
                standing: Some(Box::new(standing)),
                ..Self::new(Code::RateLimited)
            },
            Error::Overloaded(after) => Self::later(Code::Overloaded, after),
            Error::StorageUnavailable => Self::later(Code::StorageUnavailable, RETRY_AFTER),
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

/// Lets handlers use `?`. The request layer replaces the bare answer made here by the body with the request's id.
impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}
