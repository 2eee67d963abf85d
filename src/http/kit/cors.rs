//! CORS: the origins whose pages may use the API in a browser. It does not restrict other clients, and need not: there are no
//! cookies, so a request has only the rights of its token.

use crate::config::origins::Origins;
use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ALLOW,
    HeaderMap, HeaderValue, ORIGIN, VARY,
};

/// The methods of all operations.
pub const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

/// Request headers that a page may set, besides the CORS-safelisted ones.
const ALLOWED_HEADERS: &str = "Authorization, Content-Type, X-Request-Id, Content-Digest, Range, If-Range, \
    If-None-Match";

/// Response headers that a page may read, besides the CORS-safelisted ones.
const EXPOSED_HEADERS: &str = "Location, X-Request-Id, Idempotent-Replayed, Retry-After, RateLimit, RateLimit-Policy, \
    WWW-Authenticate, Date, ETag, Content-Range, Accept-Ranges, Content-Length, Content-Disposition";

/// How long a browser may cache a preflight, in seconds: two hours, the most that every browser accepts.
const MAX_AGE: &str = "7200";

/// Whether the request is a CORS preflight.
pub fn is_preflight(request: &HttpRequest) -> bool {
    let has = |name| request.headers().contains_key(name);
    request.method() == Method::OPTIONS && has(ORIGIN) && has(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The CORS headers for the response to one request.
pub struct Cors {
    is_enabled: bool,
    is_preflight: bool,
    allowed_origin: Option<HeaderValue>,
}

impl Cors {
    /// For a parsed request.
    pub fn of(request: &HttpRequest, origins: &Origins) -> Self {
        let given = request.headers().get_all(ORIGIN);
        let given: Vec<_> = given.map(HeaderValue::as_bytes).collect();
        Self::from(&given, is_preflight(request), origins)
    }

    /// For a request with these values of `Origin`.
    pub fn from(given: &[&[u8]], is_preflight: bool, origins: &Origins) -> Self {
        let allowed_origin = match (origins, given) {
            (Origins::Any, [_]) => Some(HeaderValue::from_static("*")),
            // An exact match, since browsers send an origin in one form. Copied, because the header's value would keep the
            // whole head of a parked wait in memory.
            (Origins::Listed(listed), [origin]) => listed
                .iter()
                .find(|one| one.as_bytes() == *origin)
                .and_then(|one| HeaderValue::from_str(one).ok()),
            (Origins::Same | Origins::Any | Origins::Listed(_), _) => None,
        };
        Self {
            is_enabled: *origins != Origins::Same,
            is_preflight,
            allowed_origin,
        }
    }

    /// Adds the headers. Never `Access-Control-Allow-Credentials`, because the API uses no cookies.
    pub fn apply(self, headers: &mut HeaderMap) {
        if self.is_enabled {
            // A cache must not serve the response for one origin, or for none, to another.
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = self.allowed_origin else {
            return;
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if !self.is_preflight {
            headers.insert(
                ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static(EXPOSED_HEADERS),
            );
            return;
        }
        if let Some(methods) = headers.get(ALLOW).cloned() {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        }
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(ALLOWED_HEADERS),
        );
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    }
}
