//! What every endpoint uses: middleware, extractors, problems, headers. Imports no endpoint.

pub mod client_ip;
pub mod cors;
pub mod extractors;
pub mod methods;
pub mod middleware;
pub mod optional;
pub mod problem;
pub mod response_context;
pub mod security_headers;
