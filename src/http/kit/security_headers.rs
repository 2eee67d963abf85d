//! Security headers of responses, for browsers.

use actix_web::http::header::{
    CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// For the API: a response that is opened in a browser runs no script and is shown in no frame.
const API_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// For the documentation: files and requests of this origin. Swagger UI has `data:` pictures in its style sheet, and an inline
/// style for its logo, which is allowed by its hash.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; \
    style-src 'self' 'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// For the browser client: files of this origin, and pictures and videos of any host, since messages link to them. Before it
/// loads media of a host that the operator does not trust, the page asks the user (`web/app/media.js`): a policy cannot wait
/// for a click. `blob:` is for a video of the user that is looked at before it is sent. With `trusted-types 'none'` the browser refuses to turn text of messages into markup.
const CLIENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src http: https:; \
    media-src http: https: blob:; connect-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// For media, which are bytes of users: nothing in them runs, whatever type a browser takes them for.
const MEDIA_POLICY: &str = "sandbox; default-src 'none'";

/// The kind of content at a path, or of a response, which decides its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseClass {
    /// The API, for programs.
    Api,
    /// The documentation and its files.
    Docs,
    /// The browser client and its files.
    Client,
    /// Media, for requests with a token.
    Media,
    /// Media, for pages that have a link to them.
    LinkedMedia,
}

impl ResponseClass {
    fn policy(self) -> &'static str {
        match self {
            Self::Api => API_POLICY,
            Self::Docs => DOCS_POLICY,
            Self::Client => CLIENT_POLICY,
            Self::Media | Self::LinkedMedia => MEDIA_POLICY,
        }
    }
}

/// Adds the headers to a response.
pub fn apply(headers: &mut HeaderMap, class: ResponseClass) {
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(CONTENT_SECURITY_POLICY, class.policy());
    // A JSON error is not sniffed as HTML, even if it repeats text of the client.
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    // Pages of other origins cannot embed a response, but for media by a link. Reads by CORS are not affected.
    let embedders = match class {
        ResponseClass::LinkedMedia => "cross-origin",
        ResponseClass::Api | ResponseClass::Docs | ResponseClass::Client | ResponseClass::Media => {
            "same-origin"
        }
    };
    set(CROSS_ORIGIN_RESOURCE_POLICY, embedders);
    if class != ResponseClass::Api {
        set(REFERRER_POLICY, "no-referrer");
        // For browsers without `frame-ancestors`.
        set(X_FRAME_OPTIONS, "DENY");
    }
}
