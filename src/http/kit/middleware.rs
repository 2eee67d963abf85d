//! Around every request: its id, its log line, its metrics, the common headers, and the bodies of problems.

use crate::http::kit::extractors::budget_subjects;
use crate::http::kit::problem::{Code, Problem};
use crate::http::kit::response_context::{RequestId, ResponseContext, Started, X_REQUEST_ID};
use crate::http::transport::body_budget::{Budget, SharedBody, is_large, throttle_shared};
use crate::http::transport::chunked;
use crate::http::transport::connection::ClientConnection;
use crate::model::wire::violation::cut;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::HeaderValue;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};
use std::rc::Rc;
use std::time::Instant;

/// The middleware; for `actix_web::middleware::from_fn`.
pub async fn layer(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let connection = request.conn_data::<Rc<ClientConnection>>();
    let _in_flight = connection.map(ClientConnection::begin_request);
    let reader = chunked::share(&mut request);
    let given = request.headers().get(X_REQUEST_ID);
    let id = RequestId::of(given.map(HeaderValue::as_bytes));
    request.extensions_mut().insert(id);
    request.extensions_mut().insert(Started(Instant::now()));
    let mut response = next.call(request).await?.map_into_boxed_body();
    let Some(mut context) = ResponseContext::of(response.request()) else {
        return Err(Problem::new(Code::Internal).into());
    };
    let mut problem = response.response().error().map(|error| {
        error.as_error::<Problem>().cloned().unwrap_or_else(|| {
            log::error!(
                "request_id={} undocumented error: {}",
                context.id.0,
                cut(&error.to_string())
            );
            Problem::new(Code::Internal)
        })
    });
    if let Some(budget) = response
        .request()
        .app_data::<web::Data<Budget>>()
        .cloned()
        .filter(|_| is_large(response.response().body()))
    {
        let (request, large) = response.into_parts();
        let is_shared = large.extensions().get::<SharedBody>().is_some();
        let (head, body) = large.into_parts();
        let throttled = if is_shared {
            throttle_shared(body)
        } else {
            budget.throttle(body, budget_subjects(&request))
        };
        let body = throttled.unwrap_or_else(|overloaded| {
            problem = Some(overloaded);
            BoxBody::new(())
        });
        response = ServiceResponse::new(request, head.set_body(body));
    }
    if let Some(problem) = problem {
        response = response.into_response(context.problem_response(problem));
    }
    if let Some(reader) = reader {
        response = response.map_body(|_, body| chunked::keep(reader, body));
    }
    context.finalize(response.response_mut());
    Ok(response)
}
