//! Files inside the program. `build.rs` has compressed them, so that an answer is memory that is there already, shared by all:
//! it takes nothing of the budget of large bodies.
//!
//! Browsers ask each time whether a file is still the same (`no-cache`, an `ETag`), so that after an update nobody runs half
//! of the old one.

use crate::http::kit::methods::other_method;
use crate::http::kit::security_headers::ResponseClass;
use crate::http::transport::body_budget::Shared;
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

/// A file: where it is served, and what of it.
#[derive(Clone)]
pub(in crate::http) struct File {
    pub path: &'static str,
    pub kind: &'static str,
    pub plain: Cow<'static, [u8]>,
    /// Nothing where it was not compressed.
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
    /// The file with some text in place of another, as it is: a page that is told something at the start.
    pub fn with(&self, place: &str, text: &str) -> Self {
        let plain = String::from_utf8_lossy(&self.plain).replace(place, text);
        let mut hasher = DefaultHasher::new();
        plain.hash(&mut hasher);
        Self {
            plain: plain.into_bytes().into(),
            gzip: &[],
            tag: format!("{:016x}", hasher.finish()).into(),
            ..self.clone()
        }
    }

    /// Mounts it.
    pub fn resource(&self, route: Rc<Route>, class: ResponseClass) -> Resource {
        let other = |method: Method| async move { other_method(&method, "GET, HEAD") };
        let plain = match &self.plain {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => Bytes::from(bytes.clone()),
        };
        let file = Rc::new(self.clone());
        let answer = move |request: HttpRequest| {
            let answer = file.answer(&request, &plain);
            async { answer }
        };
        web::resource(self.path)
            .app_data(route)
            .app_data(class)
            .route(
                web::route()
                    .guard(guard::Any(guard::Get()).or(guard::Head()))
                    .to(answer),
            )
            .default_service(web::to(other))
    }

    fn answer(&self, request: &HttpRequest, plain: &Bytes) -> HttpResponse {
        let is_smaller = !self.gzip.is_empty() && self.gzip.len() < plain.len();
        let is_gzip = is_smaller && takes_gzip(request);
        let (bytes, coding) = if is_gzip {
            (Bytes::from_static(self.gzip), "-gzip")
        } else {
            (plain.clone(), "")
        };
        let tag = EntityTag::new_strong(format!("{}{coding}", self.tag));
        let has_it = match IfNoneMatch::parse(request) {
            Ok(IfNoneMatch::Any) => request.headers().contains_key(IfNoneMatch::name()),
            Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|theirs| theirs.weak_eq(&tag)),
            // What is not understood is answered in full.
            Err(_) => false,
        };
        let mut answer = if has_it {
            HttpResponse::NotModified()
        } else {
            HttpResponse::Ok()
        };
        answer
            .insert_header(ETag(tag))
            .insert_header((CACHE_CONTROL, "no-cache"))
            .insert_header((VARY, "Accept-Encoding"));
        if has_it {
            return answer.finish();
        }
        if is_gzip {
            answer.insert_header((CONTENT_ENCODING, "gzip"));
        }
        let mut answer = answer.insert_header((CONTENT_TYPE, self.kind)).body(bytes);
        answer.extensions_mut().insert(Shared);
        answer
    }
}

fn takes_gzip(request: &HttpRequest) -> bool {
    let asked = AcceptEncoding::parse(request).ok();
    let offered = [Encoding::gzip(), Encoding::identity()];
    request.headers().contains_key(AcceptEncoding::name())
        && asked.and_then(|asked| asked.negotiate(offered.iter())) == Some(Encoding::gzip())
}
