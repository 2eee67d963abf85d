//! CORS: which pages of other origins a browser lets use the API. The rest of the world is not kept out by it, and does not
//! need to be: there are no cookies, so a request is worth what its token is.

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

/// The headers that a page may send, besides those that it always may.
const SENT: &str = "Authorization, Content-Type, X-Request-Id";

/// The headers of an answer that a page may read, besides those that it always may.
const READ: &str = "Location, X-Request-Id, Idempotent-Replayed, Retry-After, RateLimit, RateLimit-Policy, \
    WWW-Authenticate, Date";

/// For so many seconds a browser need not ask again: two hours, the most that all of them take.
const MAX_AGE: &str = "7200";

/// Whether a browser asks what a page of another origin may do here, before it does it.
pub fn is_preflight(request: &HttpRequest) -> bool {
    let has = |name| request.headers().contains_key(name);
    request.method() == Method::OPTIONS && has(ORIGIN) && has(ACCESS_CONTROL_REQUEST_METHOD)
}

/// What there is to say to one request, whatever its answer will be.
pub struct Cors {
    on: bool,
    preflight: bool,
    allowed: Option<HeaderValue>,
}

impl Cors {
    /// Looks at a request.
    pub fn of(request: &HttpRequest, origins: &Origins) -> Self {
        let given = request.headers().get_all(ORIGIN);
        let given: Vec<_> = given.map(HeaderValue::as_bytes).collect();
        Self::from(&given, is_preflight(request), origins)
    }

    /// For a request with these origins.
    pub fn from(given: &[&[u8]], preflight: bool, origins: &Origins) -> Self {
        let allowed = match (origins, given) {
            (Origins::Any, [_]) => Some(HeaderValue::from_static("*")),
            // To the letter, since a browser always writes an origin the same way. A copy: the value of the request would
            // keep the whole head of a wait that is parked.
            (Origins::Listed(listed), [origin]) => listed
                .iter()
                .find(|one| one.as_bytes() == *origin)
                .and_then(|one| HeaderValue::from_str(one).ok()),
            (Origins::Same | Origins::Any | Origins::Listed(_), _) => None,
        };
        Self {
            on: *origins != Origins::Same,
            preflight,
            allowed,
        }
    }

    /// Says it. Never that a browser may send credentials of its own, of which we know none.
    pub fn mark(self, headers: &mut HeaderMap) {
        if self.on {
            // A cache must not give the answer of one origin, or of none, to another.
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = self.allowed else {
            return;
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if !self.preflight {
            headers.insert(
                ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static(READ),
            );
            return;
        }
        if let Some(methods) = headers.get(ALLOW).cloned() {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        }
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(SENT));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    }
}
