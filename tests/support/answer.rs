//! An HTTP answer.

use reqwest::header::HeaderMap;
use serde_json::Value;

/// The beginnings of all our validation messages, so that those of a library stand out.
const OURS: &[&str] = &[
    "must ",
    "is required",
    "is not known here",
    "is not a cursor of this listing",
    "is not valid JSON at line ",
    "is no complete JSON: it ends at line ",
    "is nested too deep at line ",
    "has a number beyond the range of a double at line ",
    "has an unpaired surrogate at line ",
    "has a NUL character at line ",
    "has the duplicate key ",
    "does not come to its end",
];

/// Asserts that every violation has one of our messages, and that the first one is the detail of the problem.
#[track_caller]
fn is_in_our_words(problem: &Value) {
    let faults = problem["errors"].as_array().unwrap();
    for fault in faults {
        let detail = fault["detail"].as_str().unwrap();
        let is_ours = OURS.iter().any(|begin| detail.starts_with(begin));
        assert!(is_ours && !detail.contains("expected"), "{problem:#}");
    }
    let (place, message) = (
        faults[0]["pointer"].as_str().unwrap(),
        faults[0]["detail"].as_str().unwrap(),
    );
    let place = match place.trim_start_matches('/') {
        "" => "the body",
        place => place,
    };
    let sentence = format!("{place} {message}");
    let detail = problem["detail"].as_str().unwrap();
    let is_first = match detail.strip_suffix('…') {
        Some(begin) => sentence.starts_with(begin),
        None => sentence == detail,
    };
    assert!(is_first, "{problem:#}");
}

/// Status, headers and JSON body (null when there is none).
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    pub async fn of(response: reqwest::Response) -> Self {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let bytes = response.bytes().await.unwrap();
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()))
        };
        Self {
            status,
            headers,
            body,
        }
    }

    /// The body, asserting the status.
    #[track_caller]
    pub fn ok(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// Asserts a documented problem: status and code, and all common fields.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Value {
        assert_eq!(
            (self.status, &self.body["code"]),
            (status, &Value::from(code)),
            "{}",
            self.body
        );
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["type"], format!("/docs/problems#{code}"));
        assert_eq!(self.body["request_id"], self.header("x-request-id"));
        assert!(self.body["title"].is_string() && self.body["detail"].is_string());
        if code == "validation" {
            is_in_our_words(&self.body);
        }
        self.body
    }

    /// A header; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}
