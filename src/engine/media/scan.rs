//! The scanner for malware: clamd, by its command INSTREAM.

use bytes::Bytes;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the scanner may take to accept a piece, and to answer after the last one.
const DEADLINE: Duration = Duration::from_secs(30);

/// What clamd says of more than its `StreamMaxLength`. Another scan would end in the same way.
const TOO_LARGE: &str = "size limit exceeded";

/// The longest answer.
const ANSWER_BYTES: u64 = 4_096;

/// A scan of bytes that are sent piece by piece.
pub struct Scan {
    stream: TcpStream,
    /// It takes more.
    is_open: bool,
}

impl Scan {
    /// Connects to the scanner at this address.
    pub async fn begin(address: &str) -> io::Result<Self> {
        within(async {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(b"zINSTREAM\0").await?;
            Ok(Self {
                stream,
                is_open: true,
            })
        })
        .await
    }

    /// Sends the next piece, unless the scanner takes no more: its answer says why.
    pub async fn send(&mut self, piece: &Bytes) {
        if self.is_open {
            self.is_open = self.write(piece).await.is_ok();
        }
    }

    async fn write(&mut self, piece: &Bytes) -> io::Result<()> {
        let length = u32::try_from(piece.len()).map_err(io::Error::other)?;
        within(async {
            self.stream.write_all(&length.to_be_bytes()).await?;
            self.stream.write_all(piece).await
        })
        .await
    }

    /// Whether the scanner has looked at all of it and found nothing.
    pub async fn is_clean(mut self) -> io::Result<bool> {
        self.send(&Bytes::new()).await;
        let answer = within(async {
            let mut answer = Vec::new();
            let mut limited = BufReader::new(self.stream.take(ANSWER_BYTES));
            limited.read_until(0, &mut answer).await?;
            Ok(String::from_utf8_lossy(&answer).into_owned())
        })
        .await?;
        let answer = answer.trim_end_matches(['\0', '\n']);
        let is_refused = answer.ends_with(" FOUND") || answer.contains(TOO_LARGE);
        match (answer.ends_with(" OK"), is_refused) {
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
