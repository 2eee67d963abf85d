//! Parameters of handlers: the caller, and the validated body, query and ids. Every rejection is a documented problem.

use crate::config::Config;
use crate::domain::identity::sessions;
use crate::domain::sync::notices::MAX_TIMEOUT;
use crate::engine::admission::Admission;
use crate::engine::error::Error;
use crate::http::kit::client_ip::client;
use crate::http::kit::problem::{Code, Problem};
use crate::http::transport::body_budget::{Budget, Reservation, UNMETERED_BYTES};
use crate::model::account::Caller;
use crate::model::ids::{ConvSeq, ConversationId, MAX_SEQ};
use crate::model::input;
use crate::model::page::{PageSize, UserCursor, from_cursor};
use crate::model::rate_limit::Subject;
use crate::model::strict::Strict;
use crate::model::wire::violation::Violation;
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, HttpResponseBuilder, web};
use futures_util::StreamExt;
use garde::Validate;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::future::{Future, Ready, ready};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use utoipa::IntoParams;
use uuid::Uuid;

/// The largest body.
pub const BODY_BYTES: usize = 1024 * 1024;

/// How long a body may take to arrive. No other timer covers slow bodies.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The duration of a wait without `timeout`.
const DEFAULT_WAIT: Duration = Duration::from_secs(25);

type BoxFuture<T> = Pin<Box<dyn Future<Output = Result<T, Problem>>>>;

/// A handle of the process, such as `Handle<Delivery>`.
pub struct Handle<T>(Arc<T>);

impl<T: 'static> Handle<T> {
    /// The handle that `app_data` installed.
    pub fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let handle = request.app_data::<web::Data<T>>().cloned();
        handle
            .map(|handle| Self(handle.into_inner()))
            .ok_or_else(|| Error::Internal("a handle is not installed".to_owned()).into())
    }
}

impl<T> Deref for Handle<T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        &self.0
    }
}

impl<T: 'static> FromRequest for Handle<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

/// The caller, authenticated by the bearer token.
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
        let request = request.clone();
        Box::pin(async move {
            let address = address(&request)?;
            let caller = match token {
                Some(token) => {
                    sessions::authenticate(&*Handle::of(&request)?, &token, address).await
                }
                None => Err(Error::Unauthenticated),
            };
            match &caller {
                Ok(caller) => {
                    request.extensions_mut().insert(*caller);
                    charge(&request, &Subject::User(caller.user)).await?;
                }
                // Rejected tokens count for the address, so that tokens cannot be guessed. Failures of the server do not count.
                Err(Error::Unauthenticated | Error::TokenExpired | Error::DeviceRevoked) => {
                    charge_address(&request).await?;
                }
                Err(_) => {}
            }
            Ok(caller?)
        })
    }
}

/// A client without a token. Its requests count for its address.
pub struct Guest {
    /// The address of the client.
    pub address: IpAddr,
}

/// The cost of a request that hashes a password, which takes tens of milliseconds of a core.
pub const PASSWORD_COST: usize = 5;

impl FromRequest for Guest {
    type Error = Problem;
    type Future = BoxFuture<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let address = address(&request)?;
            charge(&request, &Subject::address(address)).await?;
            Ok(Self { address })
        })
    }
}

/// Counts a request for a subject. The remaining quota goes into the response headers.
pub async fn charge(request: &HttpRequest, subject: &Subject) -> Result<(), Problem> {
    if let Some(quota) = Handle::<Admission>::of(request)?
        .limits
        .charge(subject)
        .await?
    {
        request.extensions_mut().insert(quota);
    }
    Ok(())
}

/// Counts a request for the address of its client.
pub async fn charge_address(request: &HttpRequest) -> Result<(), Problem> {
    charge(request, &Subject::address(address(request)?)).await
}

/// Counts the cost of a request beyond the one that [`charge`] has counted.
pub async fn charge_more(
    request: &HttpRequest,
    subject: &Subject,
    cost: usize,
) -> Result<(), Problem> {
    if cost == 0 {
        return Ok(());
    }
    let cost = u32::try_from(cost).unwrap_or(u32::MAX);
    if let Some(quota) = Handle::<Admission>::of(request)?
        .limits
        .charge_more(subject, cost)
        .await?
    {
        request.extensions_mut().insert(quota);
    }
    Ok(())
}

/// The cost of a request or message that names `count` people and may write an entry for each: a tenth each, rounded up, at
/// least one.
pub fn people_cost(count: usize) -> usize {
    count.div_ceil(10).max(1)
}

/// The subjects whose shares of the body budget a request uses: its address, and the caller once known.
pub fn budget_subjects(request: &HttpRequest) -> Vec<Subject> {
    let address = address(request).map(Subject::address);
    let user = request
        .extensions()
        .get::<Caller>()
        .map(|caller| caller.user);
    address.into_iter().chain(user.map(Subject::User)).collect()
}

fn address(request: &HttpRequest) -> Result<IpAddr, Problem> {
    let peer = request.peer_addr().map(|peer| peer.ip());
    let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let config = Handle::<Config>::of(request)?;
    Ok(client(peer, request.headers(), &config.trusted_proxies))
}

/// A JSON body without duplicate or unknown fields, validated by its garde rules.
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
        let mut encodings = request.headers().get_all(header::CONTENT_ENCODING);
        let is_plain = encodings.all(|one| one.as_bytes().eq_ignore_ascii_case(b"identity"));
        let mut payload = payload.take();
        let request = request.clone();
        Box::pin(async move {
            if !is_plain {
                return Err(Problem::compressed_body());
            }
            if !is_json {
                return Err(Problem::new(Code::UnsupportedMediaType));
            }
            if declared.is_some_and(|length| length > BODY_BYTES) {
                return Err(Problem::new(Code::PayloadTooLarge));
            }
            let bytes = tokio::time::timeout(BODY_TIMEOUT, collect(&request, &mut payload))
                .await
                .map_err(|_elapsed| Problem::new(Code::RequestTimeout))??;
            parse(&bytes).map(Self)
        })
    }
}

async fn collect(request: &HttpRequest, payload: &mut Payload) -> Result<web::BytesMut, Problem> {
    let mut bytes = web::BytesMut::new();
    let mut reservation: Option<Reservation> = None;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_broken| Violation::new("", "does not come to its end"))?;
        if bytes.len() + chunk.len() > BODY_BYTES {
            return Err(Problem::new(Code::PayloadTooLarge));
        }
        // Reserves the bytes that arrived, not `Content-Length`: a client must not reserve memory without sending.
        if bytes.len() + chunk.len() > UNMETERED_BYTES
            && let Some(budget) = request.app_data::<web::Data<Budget>>()
        {
            match &mut reservation {
                Some(reservation) => reservation.grow(chunk.len())?,
                none => *none = Some(budget.reserve(budget_subjects(request), chunk.len())?),
            }
        }
        bytes.extend_from_slice(&chunk);
    }
    // Held until the response, because the parsed content waits in queues.
    if let Some(reservation) = reservation {
        request.extensions_mut().insert(reservation);
    }
    Ok(bytes)
}

fn parse<T: DeserializeOwned + Validate<Context = ()>>(bytes: &[u8]) -> Result<T, Problem> {
    // Some tools write a byte order mark.
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let value: T = input::json(Strict::parse(bytes)?)?;
    value
        .validate()
        .map_err(|report| Problem::invalid(Violation::from_report("", &report)))?;
    Ok(value)
}

/// The query parameters, without duplicate or unknown ones.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::parse(request.query_string()))
    }
}

impl<T: DeserializeOwned> Query<T> {
    /// Parses a query string.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        Ok(Self(input::query(query)?))
    }
}

/// The values of repeated parameters, and the query string without them.
pub fn repeated<const N: usize>(query: &str, names: [&str; N]) -> ([Vec<String>; N], String) {
    let mut values = [const { Vec::new() }; N];
    let mut rest = form_urlencoded::Serializer::new(String::new());
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match names
            .iter()
            .zip(&mut values)
            .find(|(name, _)| key == **name)
        {
            Some((_, values)) => values.push(value.into_owned()),
            None => drop(rest.append_pair(&key, &value)),
        }
    }
    (values, rest.finish())
}

/// The ids in the path. A malformed id is `not_found`, as an unknown id is.
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

/// The conversation and the seq of a message in the path. A malformed one is `not_found`, as an unknown one is.
pub struct MessageIds(pub ConversationId, pub ConvSeq);

impl FromRequest for MessageIds {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let of = |name| request.match_info().get(name);
        let id = of("id").and_then(|id| Uuid::try_parse(id).ok());
        // No message has a seq beyond the range of JSON numbers, and a statement may look at those that follow.
        let seq = of("seq").and_then(|seq| seq.parse().ok());
        let seq = seq.filter(|seq| *seq <= MAX_SEQ);
        let ids = id.zip(seq);
        ready(
            ids.map(|(id, seq)| Self(ConversationId(id), ConvSeq(seq)))
                .ok_or_else(|| Problem::new(Code::NotFound)),
        )
    }
}

/// The requested size of a page.
pub fn limit(requested: Option<i64>) -> Result<PageSize, Problem> {
    Ok(requested.map_or(Ok(PageSize::DEFAULT), PageSize::parse)?)
}

/// The requested duration of a wait, in seconds.
pub fn timeout(requested: Option<i64>) -> Result<Duration, Violation> {
    let timeout = requested.map_or(Ok(DEFAULT_WAIT), |seconds| {
        u64::try_from(seconds).map(Duration::from_secs)
    });
    timeout
        .ok()
        .filter(|timeout| *timeout <= MAX_TIMEOUT)
        .ok_or_else(|| {
            let detail = format!("must be 0 to {}", MAX_TIMEOUT.as_secs());
            Violation::new("timeout", detail)
        })
}

/// The page of a listing of people.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PeopleQuery {
    /// The size of the page, 1 to 500. Default: 100.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

impl PeopleQuery {
    /// The position after which the page begins.
    pub fn after(&self) -> Result<Option<UserCursor>, Problem> {
        Ok(self.cursor.as_deref().map(from_cursor).transpose()?)
    }
}

/// The response builder for a replayed create or send.
pub fn replayed() -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response.insert_header(("Idempotent-Replayed", "true"));
    response
}
