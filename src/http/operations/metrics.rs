//! The metrics, on a listener of their own: they are for operators, and the public one knows nothing of them.

use crate::domain::operations::health;
use crate::engine::delivery::Delivery;
use crate::engine::lifecycle::Lifecycle;
use crate::http::kit::extractors::Handle;
use crate::http::kit::problem::Problem;
use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, guard, web};

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

async fn metrics(
    delivery: Handle<Delivery>,
    lifecycle: Handle<Lifecycle>,
) -> Result<HttpResponse, Problem> {
    match health::metrics(&delivery, &lifecycle).await {
        Ok(text) => Ok(HttpResponse::Ok().content_type(TEXT).body(text)),
        Err(error) => {
            log::error!("metrics: {error}");
            Ok(HttpResponse::InternalServerError()
                .content_type(ContentType::plaintext())
                .body(error.to_string()))
        }
    }
}
