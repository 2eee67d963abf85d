//! Documentation pages: the browsable API and the list of problems. Both work offline.

use crate::http::kit::methods::other_method;
use crate::http::kit::problem::Code;
use crate::http::kit::security_headers::ResponseClass;
use crate::http::pages::files::{CSS, File, HTML, SCRIPT, inside};
use crate::telemetry::Metrics;
use actix_web::http::Method;
use actix_web::http::header::{self, ContentType};
use actix_web::{HttpResponse, Resource, guard, web};
use std::sync::Arc;

const PICTURE: &str = "image/png";

/// A file of Swagger UI.
macro_rules! page {
    ($kind:expr, $name:literal) => {
        page!($kind, $name, concat!("/docs/", $name))
    };
    ($kind:expr, $name:literal, $path:expr) => {
        inside!($kind, concat!("docs/", $name), $path)
    };
}

/// The files of the browsable API.
static PAGES: [File; 9] = [
    page!(HTML, "index.html", "/docs/"),
    page!(HTML, "index.html"),
    page!(CSS, "index.css"),
    page!(CSS, "swagger-ui.css"),
    page!(SCRIPT, "swagger-ui-bundle.js"),
    page!(SCRIPT, "swagger-ui-standalone-preset.js"),
    // Our own file: the default one sends the document to a validator on the internet.
    inside!(
        SCRIPT,
        "openapi/swagger-initializer.js",
        "/docs/swagger-initializer.js"
    ),
    page!(PICTURE, "favicon-16x16.png"),
    page!(PICTURE, "favicon-32x32.png"),
];

static DOCUMENT: File = inside!("application/json", "openapi/openapi.json", "/openapi.json");

/// Mounts the pages.
pub fn configure(config: &mut web::ServiceConfig, metrics: &Arc<Metrics>) {
    let to_docs = || async {
        HttpResponse::TemporaryRedirect()
            .insert_header((header::LOCATION, "/docs/"))
            .finish()
    };
    let get = |path: &str, route: actix_web::Route| -> Resource {
        let other = |method: Method| async move { other_method(&method, "GET, HEAD") };
        let reads = guard::Any(guard::Get()).or(guard::Head());
        web::resource(path)
            .app_data(metrics.route(path))
            .app_data(ResponseClass::Docs)
            .route(route.guard(reads))
            .default_service(web::to(other))
    };
    config
        .service(get("/docs", web::to(to_docs)))
        .service(get("/docs/problems", web::to(problems)))
        .service(get("/docs/problems.css", web::to(style)))
        .service(DOCUMENT.resource(metrics.route(DOCUMENT.path), ResponseClass::Api));
    for page in &PAGES {
        config.service(page.resource(metrics.route("/docs/{page}"), ResponseClass::Docs));
    }
}

/// A separate file, because the policy forbids inline styles.
async fn style() -> HttpResponse {
    HttpResponse::Ok().content_type("text/css").body(
        "body{font:1rem/1.5 system-ui;max-width:46rem;margin:2rem auto;padding:0 1rem}\
         dt{margin-top:1.2rem;font-weight:600}code{font-size:1.05em}:target{background:#ff03}",
    )
}

async fn problems() -> HttpResponse {
    let mut page = String::from(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\
         <title>Tideline: problems</title><link rel=stylesheet href=/docs/problems.css>\
         <h1>Problems</h1><p>Every failure is an RFC 9457 <code>application/problem+json</code>. Clients switch on \
         <code>code</code>, and treat codes they do not know by their status.</p><dl>",
    );
    for code in Code::ALL {
        let advice = code
            .advice()
            .split('`')
            .enumerate()
            .fold(String::new(), |text, (n, part)| {
                // Every second part was between backticks.
                text + &if n % 2 == 1 {
                    format!("<code>{part}</code>")
                } else {
                    part.to_owned()
                }
            });
        page.push_str(&format!(
            "<dt id='{code}'><code>{code}</code> ({status}): {title}<dd>{advice}",
            code = code.as_str(),
            status = code.status().as_u16(),
            title = code.title(),
        ));
    }
    HttpResponse::Ok()
        .content_type(ContentType::html())
        .body(page + "</dl></html>")
}
