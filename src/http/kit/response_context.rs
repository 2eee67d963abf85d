//! Per-request context that is needed to finish any response: request id, headers, metrics, access log.

use crate::clock;
use crate::config::Config;
use crate::config::origins::Origins;
use crate::http::kit::cors::Cors;
use crate::http::kit::extractors::Handle;
use crate::http::kit::problem::{Code, Problem};
use crate::http::kit::security_headers::{self, ResponseClass};
use crate::http::transport::request_heads::RequestHeads;
use crate::model::rate_limit::{Policy, QuotaStatus};
use crate::model::wire::violation::cut;
use crate::telemetry::Route;
use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, dev::Payload};
use std::future::{Ready, ready};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The path of links to media, without their tokens.
pub const MEDIA_LINKS: &str = "/v1/media/l/";

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
pub(in crate::http) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request: the client's own if it is well-formed, otherwise a new one.
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

impl RequestId {
    pub(in crate::http) fn of(given: Option<&[u8]>) -> Self {
        let is_valid = |id: &&[u8]| {
            let is_allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
            (1..=128).contains(&id.len()) && id.iter().all(is_allowed)
        };
        let given = given.filter(is_valid);
        let given = given.and_then(|id| std::str::from_utf8(id).ok());
        Self(given.map_or_else(|| clock::new_id().to_string(), str::to_owned))
    }
}

/// The two headers of draft-ietf-httpapi-ratelimit-headers, in whole seconds: the remaining quota, and the policy.
fn rate_limit(quota: QuotaStatus) -> (String, String) {
    let seconds = |time: Duration| time.as_secs() + u64::from(time.subsec_nanos() > 0);
    let Policy { name, burst, .. } = quota.policy;
    let (left, reset) = (quota.remaining, seconds(quota.reset_after));
    let window = seconds(quota.policy.window());
    (
        format!("\"{name}\";r={left};t={reset}"),
        format!("\"{name}\";q={burst};w={window}"),
    )
}

/// The longest segment of a path in the log. The token of a link to media is longer: a secret, in whatever form its path is written.
const MAX_LOGGED: usize = 100;

/// A path for the log.
fn logged_path(path: &str) -> String {
    let segment = |one| {
        if str::len(one) > MAX_LOGGED {
            "…"
        } else {
            one
        }
    };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// The arrival time of a request, in its extensions.
pub(in crate::http) struct Started(pub Instant);

/// Per-request context that is needed to finish any response: headers, metrics, access log.
pub(in crate::http) struct ResponseContext {
    started: Instant,
    pub(in crate::http) id: RequestId,
    method: Method,
    path: String,
    class: ResponseClass,
    cors: Cors,
    quota: Option<QuotaStatus>,
    route: Option<Rc<Route>>,
    pub(in crate::http) code: &'static str,
}

impl ResponseContext {
    /// For a request that was parsed.
    pub(in crate::http) fn of(request: &HttpRequest) -> Option<Self> {
        let config = Handle::<Config>::of(request).ok();
        let origins = config
            .as_ref()
            .map_or(&Origins::Same, |config| &config.cors_origins);
        let extensions = request.extensions();
        Some(Self {
            started: extensions.get::<Started>()?.0,
            id: extensions.get::<RequestId>()?.clone(),
            method: request.method().clone(),
            path: logged_path(request.path()),
            class: request
                .app_data::<ResponseClass>()
                .copied()
                .unwrap_or(ResponseClass::Api),
            cors: Cors::of(request, origins),
            quota: extensions.get::<QuotaStatus>().copied(),
            route: request.app_data::<Rc<Route>>().cloned(),
            code: "-",
        })
    }

    /// For a request that could not be parsed: only these headers of it are known.
    pub(in crate::http) fn for_unreadable(
        config: &Config,
        heads: &RequestHeads,
        route: Rc<Route>,
    ) -> Self {
        let origin = Some(heads.origin()).filter(|origin| !origin.is_empty());
        let origins = &config.cors_origins;
        Self {
            started: Instant::now(),
            id: RequestId::of(Some(heads.request_id())),
            method: Method::from_bytes(b"-").unwrap_or_default(),
            path: "-".to_owned(),
            class: ResponseClass::Api,
            cors: Cors::from(origin.as_slice(), false, origins),
            quota: None,
            route: Some(route),
            code: "-",
        }
    }

    /// Builds the response for a problem.
    pub(in crate::http) fn problem_response(&mut self, problem: Problem) -> HttpResponse {
        self.code = problem.code.as_str();
        if let Some(quota) = problem.quota.as_deref() {
            self.quota = Some(*quota);
        }
        problem.into_response(&self.id.0)
    }

    /// Adds the common headers, and records the response in the metrics and the log.
    pub(in crate::http) fn finalize<B>(self, response: &mut HttpResponse<B>) {
        let class = response.extensions().get::<ResponseClass>().copied();
        let headers = response.headers_mut();
        self.cors.apply(headers);
        security_headers::apply(headers, class.unwrap_or(self.class));
        if let Ok(value) = HeaderValue::from_str(&self.id.0) {
            headers.insert(X_REQUEST_ID, value);
        }
        // Handlers of cacheable responses set this header themselves.
        if !headers.contains_key(CACHE_CONTROL) {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        if let Some(quota) = self.quota {
            let (limit, policy) = rate_limit(quota);
            for (name, value) in [(RATE_LIMIT, limit), (RATE_LIMIT_POLICY, policy)] {
                if let Ok(value) = HeaderValue::from_str(&value) {
                    headers.insert(name, value);
                }
            }
        }
        let (took, status) = (self.started.elapsed(), response.status().as_u16());
        if let Some(route) = self.route {
            route.answered(self.method.as_str(), status, took);
        }
        log::info!(
            "{} {} {status} {} {:.1}ms request_id={}",
            cut(self.method.as_str()),
            cut(&self.path),
            self.code,
            took.as_secs_f64() * 1_000.0,
            self.id.0,
        );
    }
}
