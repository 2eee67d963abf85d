//! Slow clients, as plain sockets.

use crate::support::{App, Person, eventually, id};
use serde_json::json;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Connections that a thread keeps slow until it is stopped.
pub struct Slow {
    stop: Arc<AtomicBool>,
    open: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Slow {
    /// Opens `count` connections, sends `first` on each, and then a byte of `drip` on each every second.
    pub fn connect(address: SocketAddr, count: usize, first: Vec<u8>, drip: Option<u8>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let open = Arc::new(AtomicUsize::new(count));
        let left = Arc::clone(&open);
        let thread = std::thread::spawn(move || {
            let mut streams: Vec<TcpStream> = (0..count)
                .map(|_| {
                    let socket =
                        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
                            .unwrap();
                    // With a small buffer, data waits at the server and not in our kernel.
                    socket.set_recv_buffer_size(4_096).unwrap();
                    socket.connect(&address.into()).unwrap();
                    let mut stream: TcpStream = socket.into();
                    stream.write_all(&first).unwrap();
                    stream
                })
                .collect();
            while !stopped.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_secs(1));
                if let Some(byte) = drip {
                    // The server closes each connection after its time-out.
                    streams.retain_mut(|stream| stream.write_all(&[byte]).is_ok());
                    left.store(streams.len(), Ordering::Release);
                }
            }
        });
        Self {
            stop,
            open,
            thread: Some(thread),
        }
    }

    /// The connections that the server has not closed, as the last byte has shown.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// 250 clients of each kind: slow request heads, slow bodies, and slow readers of large responses; and 10 whose second request is
/// slow.
pub struct SlowClients {
    /// Those that send a byte each second, until the server closes their connections.
    pub senders: [Slow; 3],
    _readers: Slow,
}

impl SlowClients {
    /// Connects them to the first node. Returns when responses to the readers take more than 10 MB.
    pub async fn connect(app: &App, eve: &Person, peer: &Person) -> Self {
        const EACH: usize = 250;
        let large = eve.direct(peer).await;
        for _ in 0..2 {
            let content = json!({"blob": "x".repeat(500_000)});
            let message = json!({"client_msg_id": id(), "kind": "custom", "content": content});
            eve.post_message(&large, message).await.ok(201);
        }
        let node = &app.nodes[0];
        let head = b"GET /v1/me HTTP/1.1\r\nX-Slow: ".to_vec();
        // Only the second request of these connections is slow.
        let second_head = [
            b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            head.clone(),
        ];
        let path = format!("/conversations/{large}/messages");
        let body = "Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{\"";
        let body = request(eve, "POST", &path, body);
        let senders = [
            Slow::connect(node.address, EACH, body, Some(b'x')),
            Slow::connect(node.address, EACH, head, Some(b'x')),
            Slow::connect(node.address, 10, second_head.concat(), Some(b'x')),
        ];
        let read = request(eve, "GET", &path, "\r\n");
        let readers = Slow::connect(node.address, EACH, read, None);
        let taken = async || node.budget.taken();
        let a_lot = |bytes: &usize| *bytes > 10_000_000;
        eventually("responses pile up", Duration::from_secs(20), taken, a_lot).await;
        Self {
            senders,
            _readers: readers,
        }
    }
}

/// A request as bytes, with `more` after its token.
pub fn request(person: &Person, method: &str, path: &str, more: &str) -> Vec<u8> {
    let token = &person.token;
    format!("{method} /v1{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{more}")
        .into_bytes()
}
