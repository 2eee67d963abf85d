//! Files inside the program. `build.rs` has compressed them. Responses share their memory, so they reserve nothing in the budget
//! of large bodies.
//!
//! Browsers must revalidate every file (`no-cache`, `ETag`), so that after an update no page mixes old and new files.

use crate::http::kit::methods::other_method;
use crate::http::kit::security_headers::ResponseClass;
use crate::http::transport::body_budget::SharedBody;
use crate::telemetry::Route;
use actix_web::http::Method;
use actix_web::http::header::{
    AcceptEncoding, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETag, Encoding, EntityTag,
    Header, IfNoneMatch, VARY,
};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, Resource, guard, web};
use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

pub(in crate::http) const HTML: &str = "text/html; charset=utf-8";
pub(in crate::http) const CSS: &str = "text/css; charset=utf-8";
pub(in crate::http) const SCRIPT: &str = "text/javascript; charset=utf-8";

/// A file and its path on the server.
#[derive(Clone)]
pub(in crate::http) struct File {
    pub path: &'static str,
    pub kind: &'static str,
    pub plain: Cow<'static, [u8]>,
    /// Empty if the file was not compressed.
    pub gzip: &'static [u8],
    pub tag: Cow<'static, str>,
}

/// A file of the repository or, in `docs/`, of Swagger UI.
macro_rules! inside {
    ($kind:expr, $source:expr, $path:expr) => {
        $crate::http::pages::files::File {
            path: $path,
            kind: $kind,
            plain: ::std::borrow::Cow::Borrowed(include_bytes!(concat!(
                env!("OUT_DIR"),
                "/",
                $source
            ))),
            gzip: include_bytes!(concat!(env!("OUT_DIR"), "/", $source, ".gz")),
            tag: ::std::borrow::Cow::Borrowed(include_str!(concat!(
                env!("OUT_DIR"),
                "/",
                $source,
                ".tag"
            ))),
        }
    };
}
pub(in crate::http) use inside;

impl File {
    /// A copy with one text replaced by another, for a page with settings of the server. It is not compressed.
    pub fn with(&self, from: &str, to: &str) -> Self {
        let plain = String::from_utf8_lossy(&self.plain).replace(from, to);
        let mut hasher = DefaultHasher::new();
        plain.hash(&mut hasher);
        Self {
            plain: plain.into_bytes().into(),
            gzip: &[],
            tag: format!("{:016x}", hasher.finish()).into(),
            ..self.clone()
        }
    }

    /// The actix resource of the file.
    pub fn resource(&self, route: Rc<Route>, class: ResponseClass) -> Resource {
        let other = |method: Method| async move { other_method(&method, "GET, HEAD") };
        let plain = match &self.plain {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => Bytes::from(bytes.clone()),
        };
        let file = Rc::new(self.clone());
        let handler = move |request: HttpRequest| {
            let response = file.respond(&request, &plain);
            async { response }
        };
        web::resource(self.path)
            .app_data(route)
            .app_data(class)
            .route(
                web::route()
                    .guard(guard::Any(guard::Get()).or(guard::Head()))
                    .to(handler),
            )
            .default_service(web::to(other))
    }

    fn respond(&self, request: &HttpRequest, plain: &Bytes) -> HttpResponse {
        let is_smaller = !self.gzip.is_empty() && self.gzip.len() < plain.len();
        let is_gzip = is_smaller && accepts_gzip(request);
        let (bytes, coding) = if is_gzip {
            (Bytes::from_static(self.gzip), "-gzip")
        } else {
            (plain.clone(), "")
        };
        let tag = EntityTag::new_strong(format!("{}{coding}", self.tag));
        let is_unchanged = match IfNoneMatch::parse(request) {
            Ok(IfNoneMatch::Any) => request.headers().contains_key(IfNoneMatch::name()),
            Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|theirs| theirs.weak_eq(&tag)),
            // With a malformed header the whole file is sent.
            Err(_) => false,
        };
        let mut response = if is_unchanged {
            HttpResponse::NotModified()
        } else {
            HttpResponse::Ok()
        };
        response
            .insert_header(ETag(tag))
            .insert_header((CACHE_CONTROL, "no-cache"))
            .insert_header((VARY, "Accept-Encoding"));
        if is_unchanged {
            return response.finish();
        }
        if is_gzip {
            response.insert_header((CONTENT_ENCODING, "gzip"));
        }
        let mut response = response
            .insert_header((CONTENT_TYPE, self.kind))
            .body(bytes);
        response.extensions_mut().insert(SharedBody);
        response
    }
}

fn accepts_gzip(request: &HttpRequest) -> bool {
    let accepted = AcceptEncoding::parse(request).ok();
    let offered = [Encoding::gzip(), Encoding::identity()];
    request.headers().contains_key(AcceptEncoding::name())
        && accepted.and_then(|accepted| accepted.negotiate(offered.iter()))
            == Some(Encoding::gzip())
}
