//! The scanner for malware: clamd, by its command INSTREAM.

use bytes::Bytes;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the scanner may take to accept a piece, and to answer after the last one.
const DEADLINE: Duration = Duration::from_secs(30);

/// The longest answer.
const ANSWER_BYTES: u64 = 4_096;

/// A scan of bytes that are sent piece by piece.
pub struct Scan(TcpStream);

impl Scan {
    /// Connects to the scanner at this address.
    pub async fn begin(address: &str) -> io::Result<Self> {
        within(async {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(b"zINSTREAM\0").await?;
            Ok(Self(stream))
        })
        .await
    }

    /// Sends the next piece.
    pub async fn send(&mut self, piece: &Bytes) -> io::Result<()> {
        let length = u32::try_from(piece.len()).map_err(io::Error::other)?;
        within(async {
            self.0.write_all(&length.to_be_bytes()).await?;
            self.0.write_all(piece).await
        })
        .await
    }

    /// Whether the scanner has found nothing.
    pub async fn is_clean(mut self) -> io::Result<bool> {
        let answer = within(async {
            self.0.write_all(&0_u32.to_be_bytes()).await?;
            let mut answer = String::new();
            let mut limited = self.0.take(ANSWER_BYTES);
            limited.read_to_string(&mut answer).await?;
            Ok(answer)
        })
        .await?;
        let answer = answer.trim_end_matches(['\0', '\n']);
        match (answer.ends_with(" OK"), answer.ends_with(" FOUND")) {
            (true, _) => Ok(true),
            (_, true) => Ok(false),
            _ => Err(io::Error::other(format!("the scanner answers {answer:?}"))),
        }
    }
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(DEADLINE, work)
        .await
        .unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
}
