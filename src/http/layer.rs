//! Around every request: its id, its log line, the headers of every answer, and the body of every problem.

use crate::clock;
use crate::http::problem::{Code, Problem};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, dev::Payload};
use std::future::{Ready, ready};
use std::time::Instant;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request: the client's own if it is sane, otherwise a new one.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

impl FromRequest for RequestId {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(
            request
                .extensions()
                .get::<Self>()
                .cloned()
                .ok_or_else(|| Problem::new(Code::Internal)),
        )
    }
}

fn id_of(request: &ServiceRequest) -> RequestId {
    let sane = |id: &&str| {
        (1..=128).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let given = request
        .headers()
        .get(X_REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(sane);
    RequestId(given.map_or_else(|| clock::new_id().to_string(), str::to_owned))
}

/// The middleware; for `actix_web::middleware::from_fn`.
pub async fn layer(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let id = id_of(&request);
    request.extensions_mut().insert(id.clone());
    let mut response = next.call(request).await?.map_into_boxed_body();
    let problem = match response.response().error() {
        Some(error) => Some(error.as_error::<Problem>().cloned().unwrap_or_else(|| {
            log::error!("request_id={} undocumented error: {error}", id.0);
            Problem::new(Code::Internal)
        })),
        // A page of the documentation that is not there; the service of these pages knows nothing of problems.
        None if response.status() == StatusCode::NOT_FOUND => Some(Problem::new(Code::NotFound)),
        None => None,
    };
    let code = problem
        .as_ref()
        .map_or("-", |problem| problem.code.as_str());
    if let Some(problem) = problem {
        response = response.into_response(problem.into_response(&id.0));
    }
    let is_api = response.request().path().starts_with("/v1/");
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        headers.insert(X_REQUEST_ID, value);
    }
    if is_api {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    log::info!(
        "{} {} {} {code} {:.1}ms request_id={}",
        response.request().method(),
        response.request().path(),
        response.status().as_u16(),
        started.elapsed().as_secs_f64() * 1_000.0,
        id.0,
    );
    Ok(response)
}
