//! The metrics, on a separate listener for operators. The public listener does not serve them.

use crate::domain::operations::health;
use crate::engine::delivery::Delivery;
use crate::engine::lifecycle::Lifecycle;
use crate::http::kit::extractors::Handle;
use crate::http::kit::problem::Problem;
use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, guard, web};

/// The content type of the Prometheus text format.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Mounts the metrics. Any other path is a plain 404, without problem details.
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
        Ok(text) => Ok(HttpResponse::Ok().content_type(PROMETHEUS_TEXT).body(text)),
        Err(error) => {
            log::error!("metrics: {error}");
            Ok(HttpResponse::InternalServerError()
                .content_type(ContentType::plaintext())
                .body(error.to_string()))
        }
    }
}
