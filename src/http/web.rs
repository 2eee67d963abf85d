//! The browser client at `/` (files of `web/`) and the JavaScript SDK that it is made with (files of `sdk/javascript/src/` at
//! `/tideline/`), inside the program.
//!
//! They are served under a strict policy (`security.rs`). Browsers ask each time whether a file is still the same
//! (`no-cache`, an `ETag`), so that after an update nobody runs half of the old client.

use crate::http::routes;
use crate::telemetry::{Metrics, Route};
use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETag, EntityTag, Header, IfNoneMatch};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, Resource, guard, web};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::rc::Rc;
use std::sync::Arc;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
/// Browsers do not load these; editors and compilers do, as text.
const TYPES: &str = "text/plain; charset=utf-8";
const DRAWING: &str = "image/svg+xml";

/// A file of `web/`, named by its path there.
macro_rules! file {
    ($kind:expr, $name:literal) => {
        file!($kind, $name, concat!("/", $name))
    };
    ($kind:expr, $name:literal, $path:expr) => {
        (
            $path,
            $kind,
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/web/", $name)).as_slice(),
        )
    };
}

/// A file of the SDK.
macro_rules! sdk {
    ($name:literal) => {
        sdk!(SCRIPT, $name, concat!("/tideline/", $name))
    };
    ($kind:expr, $name:literal, $path:expr) => {
        (
            $path,
            $kind,
            include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/sdk/javascript/src/",
                $name
            ))
            .as_slice(),
        )
    };
}

/// Every file: its path, its type, its bytes.
const FILES: &[(&str, &str, &[u8])] = &[
    file!(HTML, "index.html", "/"),
    file!(CSS, "app.css"),
    file!(SCRIPT, "app.js"),
    file!(SCRIPT, "app/account.js"),
    file!(SCRIPT, "app/addresses.js"),
    file!(SCRIPT, "app/attach.js"),
    file!(SCRIPT, "app/bubble.js"),
    file!(SCRIPT, "app/chat.js"),
    file!(SCRIPT, "app/dates.js"),
    file!(SCRIPT, "app/details.js"),
    file!(SCRIPT, "app/dom.js"),
    file!(SCRIPT, "app/drafts.js"),
    file!(SCRIPT, "app/emoji.js"),
    file!(SCRIPT, "app/errors.js"),
    file!(SCRIPT, "app/format.js"),
    file!(SCRIPT, "app/list.js"),
    file!(SCRIPT, "app/log.js"),
    file!(SCRIPT, "app/looks.js"),
    file!(SCRIPT, "app/media.js"),
    file!(SCRIPT, "app/mention.js"),
    file!(SCRIPT, "app/new.js"),
    file!(SCRIPT, "app/notify.js"),
    file!(SCRIPT, "app/settings.js"),
    file!(SCRIPT, "app/sign.js"),
    file!(SCRIPT, "app/status.js"),
    file!(SCRIPT, "app/store.js"),
    file!(SCRIPT, "app/tabs.js"),
    file!(SCRIPT, "app/texts.js"),
    file!(SCRIPT, "app/texts/en.js"),
    file!(SCRIPT, "app/texts/zh.js"),
    file!(SCRIPT, "app/thread.js"),
    file!(DRAWING, "icon.svg"),
    file!(DRAWING, "squiggle.svg"),
    file!(SCRIPT, "tideline.js"),
    sdk!(TYPES, "tideline.d.ts", "/tideline.d.ts"),
    sdk!("api.js"),
    sdk!("core.js"),
    sdk!("environment.js"),
    sdk!("errors.js"),
    sdk!("ids.js"),
    sdk!("locks.js"),
    sdk!("outbox.js"),
    sdk!("session.js"),
    sdk!("signals.js"),
    sdk!("storage.js"),
    sdk!("sync.js"),
    sdk!("tabs.js"),
    sdk!("tideline.js"),
];

/// Whether one of the files is at this path.
pub fn has(path: &str) -> bool {
    FILES.iter().any(|(file, ..)| *file == path)
}

/// Where the page reads which hosts' pictures it loads unasked.
const MEDIA_HOSTS: &str = r#"<meta name="media-hosts" content="">"#;

/// Mounts the files. The page is told the hosts that the operator trusts.
pub fn configure(config: &mut web::ServiceConfig, metrics: &Arc<Metrics>, media_hosts: &[String]) {
    for &(path, kind, bytes) in FILES {
        let bytes = match std::str::from_utf8(bytes) {
            Ok(page) if path == "/" => page
                .replace(
                    MEDIA_HOSTS,
                    &MEDIA_HOSTS.replace(r#""">"#, &format!("\"{}\">", media_hosts.join(" "))),
                )
                .into(),
            Ok(_) | Err(_) => Bytes::from_static(bytes),
        };
        config.service(file(metrics.route(path), path, kind, bytes));
    }
}

fn file(route: Rc<Route>, path: &str, kind: &'static str, bytes: Bytes) -> Resource {
    let tag = EntityTag::new_strong(BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&bytes)));
    let other = |method: Method| async move { routes::other_method(&method, "GET, HEAD") };
    web::resource(path)
        .app_data(route)
        .route(
            web::route()
                .guard(guard::Any(guard::Get()).or(guard::Head()))
                .to(move |request: HttpRequest| {
                    let answer = answer(&request, tag.clone(), kind, bytes.clone());
                    async { answer }
                }),
        )
        .default_service(web::to(other))
}

fn answer(request: &HttpRequest, tag: EntityTag, kind: &'static str, bytes: Bytes) -> HttpResponse {
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
        .insert_header((CACHE_CONTROL, "no-cache"));
    if has_it {
        return answer.finish();
    }
    answer.insert_header((CONTENT_TYPE, kind)).body(bytes)
}
