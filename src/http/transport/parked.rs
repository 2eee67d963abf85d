//! A parked wait: the data that are kept of its request, and how its response is written.

use crate::clock;
use crate::http::kit::problem::Problem;
use crate::http::kit::response_context::ResponseContext;
use actix_web::HttpResponse;
use actix_web::body::to_bytes;
use actix_web::http::header::HttpDate;
use actix_web::http::{ConnectionType, Version};
use std::future::Future;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::time::{Duration, UNIX_EPOCH};

/// Resolves to the response when the wait is over.
pub(in crate::http) type ResponseFuture =
    Pin<Box<dyn Future<Output = Result<HttpResponse, Problem>>>>;

/// A parked wait.
pub(in crate::http) struct Parked {
    pub(in crate::http) response: ResponseFuture,
    pub(in crate::http) context: ResponseContext,
    pub(in crate::http) wire: Wire,
}

/// How a response is written to its connection.
#[derive(Clone, Copy)]
pub(in crate::http) struct Wire {
    pub(in crate::http) version: Version,
    pub(in crate::http) connection: ConnectionType,
}

impl Wire {
    /// The bytes of a response, as a dispatcher would write them, and whether the connection must close after it.
    pub(in crate::http) async fn encode(
        self,
        mut context: ResponseContext,
        outcome: Result<HttpResponse, Problem>,
    ) -> io::Result<(Vec<u8>, bool)> {
        let mut response = outcome.unwrap_or_else(|problem| context.problem_response(problem));
        context.finalize(&mut response);
        let (head, body) = response.into_parts();
        let body = to_bytes(body)
            .await
            .map_err(|error| io::Error::other(error.to_string()))?;
        let (status, length) = (head.status(), body.len());
        let now = Duration::from_secs(clock::unix_seconds().cast_unsigned());
        let date = HttpDate::from(UNIX_EPOCH + now);
        let mut bytes = Vec::with_capacity(1_024);
        let version = self.version;
        write!(
            bytes,
            "{version:?} {status}\r\ncontent-length: {length}\r\ndate: {date}\r\n"
        )?;
        let is_last = self.connection == ConnectionType::Close
            || head.head().connection_type() == ConnectionType::Close;
        match (is_last, version) {
            (true, Version::HTTP_11) => bytes.extend_from_slice(b"connection: close\r\n"),
            (false, Version::HTTP_10) => bytes.extend_from_slice(b"connection: keep-alive\r\n"),
            _ => {}
        }
        for (name, value) in head.headers() {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                bytes.extend_from_slice(part);
            }
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&body);
        Ok((bytes, is_last))
    }
}
