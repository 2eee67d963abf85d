//! The response with an object of the media store, whole or a range.

use crate::domain::media::objects::{self, ServedObject};
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::http::kit::problem::Problem;
use crate::http::kit::security_headers::ResponseClass;
use crate::model::wire::media::MediaKind;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_TYPE, ETag,
    EntityTag, Header, IF_RANGE, IfNoneMatch, LOCATION, RANGE,
};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// How many bytes are read at a time. A slow reader keeps as many in memory.
const CHUNK_BYTES: u64 = 128 * 1024;

/// A client that has read less than this a second after [`PATIENCE`] is cut off.
const LOWEST_RATE: u64 = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

/// The types that a browser may show. All others are `application/octet-stream`.
const SHOWN: [&str; 7] = [
    "image/jpeg",
    "image/png",
    "image/gif",
    "image/webp",
    "video/mp4",
    "video/webm",
    "video/quicktime",
];

/// The types of files that a browser may play.
const PLAYED: [&str; 2] = ["audio/mpeg", "audio/ogg"];

/// Responds with an object.
pub async fn respond(
    request: &HttpRequest,
    delivery: Arc<Delivery>,
    object: ServedObject,
    is_download: bool,
    class: ResponseClass,
) -> Result<HttpResponse, Problem> {
    let tag = EntityTag::new_strong(format!("{}-{}", object.media, object.form));
    let is_unchanged = match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => request.headers().contains_key(IfNoneMatch::name()),
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|theirs| theirs.weak_eq(&tag)),
        Err(_) => false,
    };
    let mut response = match is_unchanged {
        true => HttpResponse::NotModified(),
        false => HttpResponse::Ok(),
    };
    response
        .insert_header(ETag(tag.clone()))
        // Kept, and asked for again each time: then the membership is looked at.
        .insert_header((CACHE_CONTROL, "private, no-cache"));
    if is_unchanged {
        let mut response = response.finish();
        response.extensions_mut().insert(class);
        return Ok(response);
    }
    let (mime, is_inline) = shown_as(&object);
    let disposition = match is_inline && !is_download {
        true => "inline",
        false => "attachment",
    };
    let disposition = format!("{disposition}; {}", filename(&object.name));
    if let Some(url) = objects::redirection(&delivery, &object, mime, &disposition).await? {
        let mut response = HttpResponse::TemporaryRedirect()
            .insert_header((LOCATION, url))
            .insert_header((CACHE_CONTROL, "private, no-cache"))
            .finish();
        response.extensions_mut().insert(class);
        return Ok(response);
    }
    response
        .insert_header((CONTENT_TYPE, mime))
        .insert_header((CONTENT_DISPOSITION, disposition))
        .insert_header((ACCEPT_RANGES, "bytes"));
    let size = object.size;
    let range = match requested(request, &tag, size) {
        Requested::All => 0..size,
        Requested::Unsatisfiable => {
            response.status(actix_web::http::StatusCode::RANGE_NOT_SATISFIABLE);
            response.insert_header((CONTENT_RANGE, format!("bytes */{size}")));
            response.insert_header((CONTENT_TYPE, "application/octet-stream"));
            let mut response = response.finish();
            response.extensions_mut().insert(class);
            return Ok(response);
        }
        Requested::Part(range) => {
            response.status(actix_web::http::StatusCode::PARTIAL_CONTENT);
            let last = range.end.saturating_sub(1);
            let content = format!("bytes {}-{last}/{size}", range.start);
            response.insert_header((CONTENT_RANGE, content));
            range
        }
    };
    // The first bytes are read before the head is sent: without the store the client gets a problem. To HEAD none are sent.
    let is_head = request.method() == actix_web::http::Method::HEAD;
    let (left, first) = match is_head || range.is_empty() {
        true => (range.end..range.end, Bytes::new()),
        false => {
            let first = range.start..range.end.min(range.start + CHUNK_BYTES);
            let bytes = objects::bytes(&delivery, &object, first).await?;
            (range.clone(), bytes)
        }
    };
    let body = ObjectBody {
        left,
        size: range.end - range.start,
        next: Some(Box::pin(std::future::ready(Ok(first)))),
        begun: Instant::now(),
        delivery,
        object: Arc::new(object),
    };
    let mut response = response.body(BoxBody::new(body));
    response.extensions_mut().insert(class);
    Ok(response)
}

/// The type of the response, and whether a browser may show it.
fn shown_as(object: &ServedObject) -> (&'static str, bool) {
    let known = |types: &[&'static str]| types.iter().copied().find(|one| *one == object.mime);
    let found = match object.kind {
        MediaKind::Image | MediaKind::Video => known(&SHOWN),
        MediaKind::File => known(&PLAYED),
    };
    match found {
        Some(mime) => (mime, true),
        None => ("application/octet-stream", false),
    }
}

/// The parameters of `Content-Disposition` with the name of a file: in ASCII for old clients, and as it is (RFC 6266, RFC 8187).
fn filename(name: &str) -> String {
    // Neither a path nor what would make a name look like another one.
    let is_refused = |c: &char| {
        c.is_control()
            || matches!(c, '/' | '\\' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let cleaned: String = name.chars().filter(|c| !is_refused(c)).collect();
    let cleaned = match cleaned.trim_matches(['.', ' ']) {
        "" => "file",
        trimmed => trimmed,
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ');
    let plain = |c: char| if is_plain(c) { c } else { '_' };
    let ascii: String = cleaned.chars().map(plain).collect();
    let mut encoded = String::new();
    for byte in cleaned.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    format!("filename=\"{ascii}\"; filename*=UTF-8''{encoded}")
}

/// What a client has asked for.
#[derive(Debug, PartialEq, Eq)]
enum Requested {
    All,
    Part(Range<u64>),
    Unsatisfiable,
}

fn requested(request: &HttpRequest, tag: &EntityTag, size: u64) -> Requested {
    let headers = request.headers();
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // Of another object there is no part to continue.
    let is_other = match headers.contains_key(IF_RANGE) {
        true => text(IF_RANGE)
            .and_then(|text| text.parse::<EntityTag>().ok())
            .is_none_or(|theirs| !theirs.strong_eq(tag)),
        false => false,
    };
    match text(RANGE).filter(|_| !is_other) {
        Some(range) => parse_range(range, size),
        None => Requested::All,
    }
}

/// A single range (RFC 9110, section 14.1.2). Several ranges, and what is no range, count as none.
fn parse_range(text: &str, size: u64) -> Requested {
    let range = text.strip_prefix("bytes=").map(str::trim);
    let Some((first, last)) = range.and_then(|range| range.split_once('-')) else {
        return Requested::All;
    };
    let number = |text: &str| match text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        // A number beyond all sizes is beyond this one.
        true => Some(text.parse().unwrap_or(u64::MAX)),
        false => None,
    };
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Some(first), None) if last.is_empty() => first..size,
        (None, Some(length)) if first.is_empty() => size.saturating_sub(length)..size,
        _ => return Requested::All,
    };
    match range.is_empty() {
        true => Requested::Unsatisfiable,
        false => Requested::Part(range),
    }
}

type Next = Pin<Box<dyn Future<Output = Result<Bytes, Error>>>>;

/// The bytes of an object, read as the client reads them.
struct ObjectBody {
    delivery: Arc<Delivery>,
    object: Arc<ServedObject>,
    left: Range<u64>,
    size: u64,
    next: Option<Next>,
    begun: Instant,
}

#[derive(Debug, thiserror::Error)]
enum BodyError {
    #[error("the response was read too slowly")]
    TooSlow,
    #[error("the media store does not answer")]
    Lost,
}

impl ObjectBody {
    fn read(&self, range: Range<u64>) -> Next {
        let (delivery, object) = (Arc::clone(&self.delivery), Arc::clone(&self.object));
        Box::pin(async move { objects::bytes(&delivery, &object, range).await })
    }
}

impl MessageBody for ObjectBody {
    type Error = BodyError;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.size)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let (time, handed) = (
            self.begun.elapsed(),
            self.size - (self.left.end - self.left.start),
        );
        if time > PATIENCE && handed < time.as_secs() * LOWEST_RATE {
            return Poll::Ready(Some(Err(BodyError::TooSlow)));
        }
        let mut next = match self.next.take() {
            Some(next) => next,
            None => {
                let end = self.left.end.min(self.left.start + CHUNK_BYTES);
                self.read(self.left.start..end)
            }
        };
        let Poll::Ready(result) = next.as_mut().poll(cx) else {
            self.next = Some(next);
            return Poll::Pending;
        };
        let Ok(bytes) = result else {
            return Poll::Ready(Some(Err(BodyError::Lost)));
        };
        let length = u64::try_from(bytes.len()).unwrap_or_default();
        if length == 0 {
            return Poll::Ready(Some(Err(BodyError::Lost)));
        }
        self.left.start += length;
        Poll::Ready(Some(Ok(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Requested, filename, parse_range};

    #[test]
    fn single_ranges_are_served_and_others_are_the_whole() {
        let part = |first: u64, last: u64| Requested::Part(first..last + 1);
        for (text, expected) in [
            ("bytes=0-0", part(0, 0)),
            ("bytes=2-5", part(2, 5)),
            ("bytes=5-", part(5, 9)),
            ("bytes=-3", part(7, 9)),
            ("bytes=-30", part(0, 9)),
            ("bytes=0-9223372036854775808", part(0, 9)),
            ("bytes=0-99999999999999999999999", part(0, 9)),
            ("bytes=10-", Requested::Unsatisfiable),
            ("bytes=-0", Requested::Unsatisfiable),
            ("bytes=99999999999999999999999-", Requested::Unsatisfiable),
            ("bytes=5-2", Requested::All),
            ("bytes=0-0,1-1", Requested::All),
            ("bytes=", Requested::All),
            ("bytes=-", Requested::All),
            ("bytes=+1-2", Requested::All),
            ("items=0-1", Requested::All),
        ] {
            assert_eq!(parse_range(text, 10), expected, "{text}");
        }
    }

    #[test]
    fn names_are_cleaned() {
        for (name, expected) in [
            ("cat.jpg", "filename=\"cat.jpg\"; filename*=UTF-8''cat.jpg"),
            (
                "../../etc/passwd",
                "filename=\"etcpasswd\"; filename*=UTF-8''etcpasswd",
            ),
            (
                "a\r\nSet-Cookie: b",
                "filename=\"aSet-Cookie_ b\"; filename*=UTF-8''aSet-Cookie%3A%20b",
            ),
            (
                "\u{202e}g\u{61c}pj.exe",
                "filename=\"gpj.exe\"; filename*=UTF-8''gpj.exe",
            ),
            ("..", "filename=\"file\"; filename*=UTF-8''file"),
            (
                "猫.png",
                "filename=\"_.png\"; filename*=UTF-8''%E7%8C%AB.png",
            ),
            ("a\"b", "filename=\"a_b\"; filename*=UTF-8''a%22b"),
        ] {
            assert_eq!(filename(name), expected);
        }
    }
}
