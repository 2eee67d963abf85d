//! A cheap client: one keep-alive connection, one request at a time, no pool, and responses are parsed only on demand.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpSocket;

/// The other headers of a browser, so that a parked wait has a realistic size.
const BROWSER_HEADERS: [(&str, &str); 10] = [
    ("accept", "application/json, text/plain, */*"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.9,de-DE;q=0.8,de;q=0.7"),
    ("cache-control", "no-cache"),
    ("origin", "https://chat.example.com"),
    ("referer", "https://chat.example.com/conversations/today"),
    (
        "sec-ch-ua",
        r#""Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99""#,
    ),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-site", "same-site"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    ),
];

/// A logged-in person.
#[derive(Clone)]
pub struct Person {
    pub id: Arc<str>,
    bearer: HeaderValue,
}

/// An output line of `tideline admin seed`.
#[derive(Deserialize)]
struct Seeded {
    username: String,
    user_id: String,
    access_token: String,
}

impl Person {
    pub fn new(id: &str, token: &str) -> Self {
        Self {
            id: id.into(),
            bearer: format!("Bearer {token}").parse().unwrap(),
        }
    }

    /// The header `Authorization`.
    pub fn bearer(&self) -> &str {
        self.bearer.to_str().unwrap()
    }

    /// A person of such a line, with their number.
    pub fn seeded(line: &str) -> (usize, Self) {
        let seeded: Seeded = serde_json::from_str(line).unwrap();
        let number = seeded.username.strip_prefix("seed").unwrap();
        let person = Self::new(&seeded.user_id, &seeded.access_token);
        (number.parse().unwrap(), person)
    }
}

pub struct Answer {
    pub status: u16,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    pub body: Bytes,
}

impl Answer {
    /// The body, if the status is the expected one. Any other status makes the run invalid.
    pub fn ok(self, status: u16) -> Bytes {
        let body = &self.body;
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(body));
        self.body
    }

    pub fn json(self, status: u16) -> Value {
        serde_json::from_slice(&self.ok(status)).unwrap()
    }
}

/// A keep-alive connection.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    headers: HeaderMap,
}

impl Connection {
    pub async fn open(to: SocketAddr) -> std::io::Result<Self> {
        Self::open_from(Ipv4Addr::LOCALHOST, to).await
    }

    /// Opens it from this loopback address. Each address has its own ports.
    pub async fn open_from(from: Ipv4Addr, to: SocketAddr) -> std::io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        let opened = handshake(TokioIo::new(stream)).await;
        let (sender, connection) = opened.map_err(std::io::Error::other)?;
        // Ends with the connection. Errors appear at the request.
        tokio::spawn(connection);
        let host = to.to_string().parse().unwrap();
        Ok(Self {
            sender,
            headers: HeaderMap::from_iter([(HOST, host)]),
        })
    }

    /// Adds the headers of a browser to later requests.
    pub fn use_browser_headers(&mut self) {
        for (name, value) in BROWSER_HEADERS {
            self.headers.insert(name, HeaderValue::from_static(value));
        }
    }

    pub async fn call(
        &mut self,
        method: Method,
        path: &str,
        person: Option<&Person>,
        body: impl Into<Bytes>,
    ) -> Result<Answer, hyper::Error> {
        let body = body.into();
        let mut request = Request::new(Full::default());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        *request.headers_mut() = self.headers.clone();
        if let Some(person) = person {
            let headers = request.headers_mut();
            headers.insert(AUTHORIZATION, person.bearer.clone());
        }
        if !body.is_empty() {
            // Everything else is JSON.
            let mime = match request.uri().path().contains("/parts/") {
                true => "application/octet-stream",
                false => "application/json",
            };
            let mime = HeaderValue::from_static(mime);
            request.headers_mut().insert(CONTENT_TYPE, mime);
            *request.body_mut() = Full::new(body);
        }
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get(RETRY_AFTER);
        let retry_after = retry_after.map(|it| it.to_str().unwrap().parse().unwrap());
        Ok(Answer {
            status,
            retry_after,
            body: answer.into_body().collect().await?.to_bytes(),
        })
    }

    pub async fn get(&mut self, path: &str, person: &Person) -> Result<Answer, hyper::Error> {
        self.call(Method::GET, path, Some(person), "").await
    }

    pub async fn post(
        &mut self,
        path: &str,
        person: &Person,
        body: impl Into<Bytes>,
    ) -> Result<Answer, hyper::Error> {
        self.call(Method::POST, path, Some(person), body).await
    }
}

/// One request on a new connection.
pub async fn fetch(address: SocketAddr, path: &str) -> Result<Answer, Box<dyn Error>> {
    let mut connection = Connection::open(address).await?;
    Ok(connection.call(Method::GET, path, None, "").await?)
}
