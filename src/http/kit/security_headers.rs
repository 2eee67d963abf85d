//! What answers tell browsers not to do with them.

use actix_web::http::header::{
    CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// Of everything but the pages: an answer that is opened in a browser runs nothing and is shown in no frame.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// Of the documentation: what lies beside it, and requests to this server. Swagger UI has pictures in its style sheet, and
/// the style of its logo, by whose hash it is known, in the page.
const DOCS: &str = "default-src 'none'; script-src 'self'; \
    style-src 'self' 'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Of the browser client: what lies beside it, and pictures and videos from wherever a message says, which the page asks
/// about first (`web/app/media.js`) where the operator does not trust the host: a policy cannot wait for a click. With
/// `trusted-types 'none'` the browser itself refuses to make markup out of what somebody wrote.
const CLIENT: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src http: https:; \
    media-src http: https:; connect-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What a browser may do with the answers at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseClass {
    /// The API: programs read it.
    Api,
    /// The documentation, with what it loads.
    Docs,
    /// The browser client, with what it loads.
    Client,
}

impl ResponseClass {
    fn policy(self) -> &'static str {
        match self {
            Self::Api => NOTHING,
            Self::Docs => DOCS,
            Self::Client => CLIENT,
        }
    }
}

/// Adds the headers to an answer.
pub fn mark(headers: &mut HeaderMap, place: ResponseClass) {
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(CONTENT_SECURITY_POLICY, place.policy());
    // An error page of JSON stays JSON, whatever text a client put into it.
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    // No other page embeds an answer unread. Reading one by CORS is another matter, which this leaves alone.
    set(CROSS_ORIGIN_RESOURCE_POLICY, "same-origin");
    if place != ResponseClass::Api {
        set(REFERRER_POLICY, "no-referrer");
        // Of browsers that do not know `frame-ancestors`.
        set(X_FRAME_OPTIONS, "DENY");
    }
}
