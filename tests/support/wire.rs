//! A raw connection.

use crate::support::Answer;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection.
pub struct Wire {
    stream: TcpStream,
    /// Bytes received after the last answer.
    rest: Vec<u8>,
}

impl Wire {
    pub async fn to(address: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(address).await.unwrap(),
            rest: Vec::new(),
        }
    }

    pub async fn write(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Reads more bytes; `false` at the end.
    pub async fn more(&mut self) -> bool {
        let read = self.stream.read_buf(&mut self.rest);
        let read = tokio::time::timeout(Duration::from_secs(20), read).await;
        read.expect("an answer within 20 s").unwrap() > 0
    }

    /// The next answer.
    pub async fn answer(&mut self) -> Answer {
        loop {
            let text = String::from_utf8_lossy(&self.rest).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let mut headers = HeaderMap::new();
                for line in head.lines().skip(1) {
                    let (name, value) = line.split_once(": ").unwrap();
                    let name: HeaderName = name.parse().unwrap();
                    headers.insert(name, HeaderValue::from_str(value).unwrap());
                }
                let length: usize = headers
                    .get("content-length")
                    .map_or(0, |length| length.to_str().unwrap().parse().unwrap());
                if body.len() >= length {
                    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                    let body = match length {
                        0 => Value::Null,
                        length => serde_json::from_str(&body[..length]).unwrap(),
                    };
                    self.rest.drain(..head.len() + 4 + length);
                    return Answer {
                        status,
                        headers,
                        body,
                    };
                }
            }
            assert!(self.more().await, "{text}");
        }
    }
}
