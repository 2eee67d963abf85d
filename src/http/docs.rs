//! The pages for people: the browsable API, and the list of problems. Both work offline.

use crate::http::openapi;
use crate::http::problem::{Code, Problem};
use crate::telemetry::Metrics;
use actix_web::http::header::{self, ContentType};
use actix_web::{HttpResponse, Resource, guard, web};
use std::sync::{Arc, LazyLock};
use utoipa_swagger_ui::{Config, SwaggerUi};

static OPENAPI: LazyLock<Option<String>> = LazyLock::new(|| openapi::json().ok());

/// Mounts the pages.
pub fn configure(config: &mut web::ServiceConfig, metrics: &Arc<Metrics>) {
    let to_docs = || async {
        HttpResponse::TemporaryRedirect()
            .insert_header((header::LOCATION, "/docs/"))
            .finish()
    };
    // The default asks a validator on the internet about the document of whoever looks at the page.
    let page = Config::from("/openapi.json").validator_url("none");
    let get = |path: &str| -> Resource {
        let route = metrics.route(path);
        let reads = guard::Any(guard::Get()).or(guard::Head());
        web::resource(path).guard(reads).app_data(route)
    };
    // A scope, since the pages' own service has no place for the handles of a route's metrics.
    let pages = web::scope("/docs").app_data(metrics.route("/docs/{page}"));
    config
        .service(get("/docs").to(to_docs))
        .service(get("/docs/problems").to(problems))
        .service(get("/docs/problems.css").to(style))
        .service(get("/openapi.json").to(document))
        .service(pages.service(SwaggerUi::new("/{_:.*}").config(page)));
}

async fn document() -> Result<HttpResponse, Problem> {
    let text = OPENAPI
        .as_deref()
        .ok_or_else(|| Problem::new(Code::Internal))?;
    Ok(HttpResponse::Ok()
        .content_type(ContentType::json())
        .body(text))
}

/// Beside its page, because the policy of the pages allows nothing within them.
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
                // Every second part stood between back-ticks.
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
