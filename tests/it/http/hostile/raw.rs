//! Raw requests and their responses.

use crate::support::requests::Request;
use crate::support::{Answer, App, Person};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A request under construction.
pub struct Head {
    line: String,
    headers: Vec<Vec<u8>>,
    body: Vec<u8>,
}

impl Head {
    /// A valid request, but for its path; the connection closes after the response.
    pub fn of(request: &Request, person: &Person, path: &str) -> Self {
        let body = request.body.as_ref().map(Value::to_string);
        let body = body.unwrap_or_default().into_bytes();
        let mut head = Self {
            line: format!("{} {path} HTTP/1.1", request.method),
            headers: Vec::new(),
            body: Vec::new(),
        };
        head.add("Host", "tideline");
        head.add("Connection", "close");
        head.add("Authorization", &format!("Bearer {}", person.token));
        if !body.is_empty() {
            head.add("Content-Type", "application/json");
            head.add("Content-Length", &body.len().to_string());
        }
        head.body = body;
        head
    }

    pub fn get(person: &Person, path: &str) -> Self {
        let request = Request {
            method: "GET".to_owned(),
            path: String::new(),
            body: None,
            raw: None,
            token: None,
        };
        Self::of(&request, person, path)
    }

    pub fn post(person: &Person, path: &str, body: Value) -> Self {
        let request = Request {
            method: "POST".to_owned(),
            path: String::new(),
            body: Some(body),
            raw: None,
            token: None,
        };
        Self::of(&request, person, path)
    }

    fn add(&mut self, name: &str, value: &str) {
        self.headers.push(format!("{name}: {value}").into_bytes());
    }

    /// Adds a raw header line.
    pub fn with(mut self, line: impl Into<Vec<u8>>) -> Self {
        self.headers.push(line.into());
        self
    }

    /// Without a header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers
            .retain(|line| !line.starts_with(name.as_bytes()));
        self
    }

    pub fn line(self, line: &str) -> Self {
        Self {
            line: line.to_owned(),
            ..self
        }
    }

    pub fn body(self, body: &[u8]) -> Self {
        Self {
            body: body.to_vec(),
            ..self
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.line.clone().into_bytes();
        bytes.extend(b"\r\n");
        for line in &self.headers {
            bytes.extend(line);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        bytes
    }
}

/// Writes bytes, reads until the server closes the connection, which it must, and returns all responses.
pub async fn exchange(app: &App, bytes: Vec<u8>) -> Vec<Answer> {
    exchange_with(app.nodes[0].address, bytes).await
}

/// The same with another node.
pub async fn exchange_with(address: SocketAddr, bytes: Vec<u8>) -> Vec<Answer> {
    let exchange = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        // The server may close the connection before everything is written.
        let _enough = stream.write_all(&bytes);
        let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return read,
                Ok(n) => read.extend(&buffer[..n]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return read,
                Err(error) => panic!("{error} after {}", String::from_utf8_lossy(&read)),
            }
        }
    };
    answers(&tokio::task::spawn_blocking(exchange).await.unwrap())
}

fn answers(mut bytes: &[u8]) -> Vec<Answer> {
    let mut all = Vec::new();
    while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status: u16 = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            let name: HeaderName = name.parse().unwrap();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        bytes = &bytes[end + 4..];
        let length = headers
            .get("content-length")
            .map_or(0, |value| value.to_str().unwrap().parse().unwrap());
        let body = serde_json::from_slice(&bytes[..length]).unwrap_or(Value::Null);
        bytes = &bytes[length..];
        // An interim 1xx response is skipped.
        if status >= 200 {
            all.push(Answer {
                status,
                headers,
                body,
            });
        }
    }
    assert!(bytes.is_empty(), "{}", String::from_utf8_lossy(bytes));
    all
}
