//! What handlers take: the caller, a checked body, a checked query, a checked id. Every rejection is a documented problem.

use crate::app::App;
use crate::domain::accounts;
use crate::domain::error::Error;
use crate::http::problem::{Code, Problem};
use crate::http::strict::Strict;
use crate::model::account::Caller;
use crate::model::page::Limit;
use crate::model::violation::Violation;
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, HttpResponseBuilder, web};
use futures_util::StreamExt;
use garde::Validate;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::time::Duration;
use uuid::Uuid;

/// The largest body.
pub const BODY_BYTES: usize = 1024 * 1024;

/// How long a body may take to arrive. Nothing else guards against a body that trickles in.
const BODY_TIME: Duration = Duration::from_secs(10);

type BoxFuture<T> = Pin<Box<dyn Future<Output = Result<T, Problem>>>>;

/// The handles of this process.
pub fn app(request: &HttpRequest) -> Result<web::Data<App>, Problem> {
    request
        .app_data::<web::Data<App>>()
        .cloned()
        .ok_or_else(|| Error::Internal("the app is not installed".to_owned()).into())
}

/// The caller, proved by the bearer token.
impl FromRequest for Caller {
    type Error = Problem;
    type Future = BoxFuture<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let token = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim().to_owned());
        let app = app(request);
        Box::pin(async move {
            let app = app?;
            let token = token.ok_or(Error::Unauthenticated)?;
            Ok(accounts::authenticate(&app, &token).await?)
        })
    }
}

/// A JSON body, without duplicate or unknown fields, checked by its garde rules.
pub struct Body<T>(pub T);

impl<T> FromRequest for Body<T>
where
    T: DeserializeOwned + Validate<Context = ()> + 'static,
{
    type Error = Problem;
    type Future = BoxFuture<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = request
            .content_type()
            .eq_ignore_ascii_case("application/json");
        let declared = request
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse::<usize>().ok());
        let mut payload = payload.take();
        Box::pin(async move {
            if !is_json {
                return Err(Problem::new(Code::UnsupportedMediaType));
            }
            if declared.is_some_and(|length| length > BODY_BYTES) {
                return Err(Problem::new(Code::PayloadTooLarge));
            }
            let bytes = tokio::time::timeout(BODY_TIME, collect(&mut payload))
                .await
                .map_err(|_elapsed| Problem::new(Code::RequestTimeout))??;
            parse(&bytes).map(Self)
        })
    }
}

async fn collect(payload: &mut Payload) -> Result<web::BytesMut, Problem> {
    let mut bytes = web::BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| invalid("", error.to_string()))?;
        if bytes.len() + chunk.len() > BODY_BYTES {
            return Err(Problem::new(Code::PayloadTooLarge));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn parse<T: DeserializeOwned + Validate<Context = ()>>(bytes: &[u8]) -> Result<T, Problem> {
    let Strict(value) =
        serde_json::from_slice(bytes).map_err(|error| invalid("", error.to_string()))?;
    typed("", value)
}

/// A value of the contract from JSON that was parsed strictly.
pub fn typed<T: DeserializeOwned + Validate<Context = ()>>(
    prefix: &str,
    value: Value,
) -> Result<T, Problem> {
    let typed: T = serde_path_to_error::deserialize(value)
        .map_err(|error| Problem::invalid(vec![Violation::from_serde(prefix, &error)]))?;
    typed
        .validate()
        .map_err(|report| Problem::invalid(Violation::from_report(prefix, &report)))?;
    Ok(typed)
}

/// The query parameters: none twice, none unknown.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(
            web::Query::<T>::from_query(request.query_string())
                .map(|query| Self(query.into_inner()))
                .map_err(|error| invalid("query", error.to_string())),
        )
    }
}

/// The ids in the path. Anything that is not an id names nothing, so it is `not_found` like any unknown id.
pub struct Ids<const N: usize>(pub [Uuid; N]);

impl<const N: usize> FromRequest for Ids<N> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let ids: Option<Vec<Uuid>> = request
            .match_info()
            .iter()
            .map(|(_, value)| Uuid::try_parse(value).ok())
            .collect();
        ready(
            ids.and_then(|ids| ids.try_into().ok())
                .map(Self)
                .ok_or_else(|| Problem::new(Code::NotFound)),
        )
    }
}

/// The size of a page as asked for.
pub fn limit(asked: Option<i64>) -> Result<Limit, Problem> {
    asked.map_or(Ok(Limit::DEFAULT), |value| {
        Limit::parse(value).map_err(|violation| Problem::invalid(vec![violation]))
    })
}

/// The beginning of an answer to a repeated create or send.
pub fn replayed() -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response.insert_header(("Idempotent-Replayed", "true"));
    response
}

fn invalid(pointer: &str, detail: impl Into<String>) -> Problem {
    Problem::invalid(vec![Violation::new(pointer, detail)])
}
