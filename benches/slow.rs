//! Slow uploads and slow readers, as plain sockets: little more than the lowest rate that a node accepts.

use crate::client::Person;
use crate::rows::media::PART;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep};

/// A client sends or reads so much at a time: 80 KiB/s.
const PIECE: usize = 16 << 10;
const PAUSE: Duration = Duration::from_millis(200);

/// After a refusal or an end.
const AGAIN: Duration = Duration::from_secs(1);

/// What the clients have transferred.
#[derive(Clone)]
pub struct Clients {
    sent: Arc<AtomicU64>,
    received: Arc<AtomicU64>,
    begun: Instant,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            sent: Arc::default(),
            received: Arc::default(),
            begun: Instant::now(),
        }
    }
}

impl Clients {
    /// What they have sent and read, in MB/s.
    pub fn rates(&self) -> [f64; 2] {
        let seconds = self.begun.elapsed().as_secs_f64();
        [&self.sent, &self.received]
            .map(|bytes| bytes.load(Ordering::Relaxed) as f64 / 1e6 / seconds)
    }

    /// Sends a part, slowly, and again.
    pub async fn upload(self, to: SocketAddr, path: String, person: Person) {
        let head = format!(
            "PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: application/octet-stream\r\nContent-Length: {PART}\r\n\r\n",
            person.bearer()
        );
        loop {
            // A node that has refused it closes the connection.
            let _refused = self.send(to, &head).await;
            sleep(AGAIN).await;
        }
    }

    async fn send(&self, to: SocketAddr, head: &str) -> io::Result<()> {
        let mut stream = TcpStream::connect(to).await?;
        stream.write_all(head.as_bytes()).await?;
        let piece = [7; PIECE];
        for _ in 0..PART / PIECE {
            stream.write_all(&piece).await?;
            self.sent.fetch_add(PIECE as u64, Ordering::Relaxed);
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Reads an object, slowly, and again.
    pub async fn read(self, to: SocketAddr, path: String, person: Person) {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\r\n",
            person.bearer()
        );
        loop {
            let _ended = self.receive(to, &head).await;
            sleep(AGAIN).await;
        }
    }

    async fn receive(&self, to: SocketAddr, head: &str) -> io::Result<()> {
        let socket = TcpSocket::new_v4()?;
        // With a small buffer, bytes wait in the node and not in our kernel.
        socket.set_recv_buffer_size(PIECE as u32)?;
        let mut stream = socket.connect(to).await?;
        stream.write_all(head.as_bytes()).await?;
        let mut piece = [0; PIECE];
        let mut total = 0;
        while total < PART {
            let read = stream.read(&mut piece).await?;
            if read == 0 {
                break;
            }
            total += read;
            self.received.fetch_add(read as u64, Ordering::Relaxed);
            sleep(PAUSE.mul_f64(read as f64 / PIECE as f64)).await;
        }
        Ok(())
    }
}
