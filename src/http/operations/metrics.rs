//! The metrics, on a listener of their own: they are for operators, and the public one knows nothing of them.

use crate::domain::operations::health;
use crate::http::kit::extractors::app;
use actix_web::http::header::ContentType;
use actix_web::{HttpRequest, HttpResponse, guard, web};

/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Mounts them. Whoever finds this listener by mistake is told nothing: a plain 404.
pub fn configure(config: &mut web::ServiceConfig) {
    let reads = guard::Any(guard::Get()).or(guard::Head());
    let metrics = web::resource("/metrics").guard(reads).to(metrics);
    config
        .service(metrics)
        .default_service(web::to(HttpResponse::NotFound));
}

async fn metrics(request: HttpRequest) -> HttpResponse {
    let Ok(app) = app(&request) else {
        return HttpResponse::InternalServerError().finish();
    };
    match health::metrics(&app).await {
        Ok(text) => HttpResponse::Ok().content_type(TEXT).body(text),
        Err(error) => {
            log::error!("metrics: {error}");
            HttpResponse::InternalServerError()
                .content_type(ContentType::plaintext())
                .body(error.to_string())
        }
    }
}
