//! Responses to methods that a path does not support.

use crate::http::kit::problem::Problem;
use actix_web::HttpResponse;
use actix_web::http::{Method, header};

/// The response to an unsupported method: `OPTIONS` lists the methods, any other is 405.
pub fn other_method(method: &Method, allow: &str) -> Result<HttpResponse, Problem> {
    match *method {
        Method::OPTIONS => Ok(options(allow)),
        _ => Err(Problem::method_not_allowed(allow.to_owned())),
    }
}

/// Lists the methods of a path. Needs no token and is not rate-limited, because browsers send CORS preflights without a token.
pub fn options(allow: &str) -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    response.insert_header((header::ALLOW, allow)).finish()
}
