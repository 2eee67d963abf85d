//! What a path answers to methods that it does not have.

use crate::http::kit::problem::Problem;
use actix_web::HttpResponse;
use actix_web::http::{Method, header};

/// What a path says to a method that is not among its own.
pub fn other_method(method: &Method, allow: &str) -> Result<HttpResponse, Problem> {
    match *method {
        Method::OPTIONS => Ok(options(allow)),
        _ => Err(Problem::method_not_allowed(allow.to_owned())),
    }
}

/// The methods of a path. The request needs no token and is not rate-limited: browsers ask before a page of another origin may
/// do anything.
pub fn options(allow: &str) -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    response.insert_header((header::ALLOW, allow)).finish()
}
