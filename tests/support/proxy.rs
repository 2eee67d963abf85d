//! A small TCP proxy before a server. It can be cut (connections are closed and refused), frozen (nothing passes, connections
//! stay open), hold answers back, and be healed again.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const OPEN: u8 = 0;
const CUT: u8 = 1;
const FROZEN: u8 = 2;
const HOLDING: u8 = 3;

/// How often a connection checks the mode.
const TICK: Duration = Duration::from_millis(10);

/// A proxy.
pub struct Proxy {
    url: String,
    server: Arc<Mutex<SocketAddr>>,
    mode: Arc<AtomicU8>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    opened: Arc<AtomicUsize>,
    fuse: Arc<Mutex<Fuse>>,
}

/// When to freeze.
#[derive(Default)]
struct Fuse {
    /// The count begins with the first request that has this text.
    text: String,
    /// The requests since then.
    passed: usize,
    /// So many pass.
    most: Option<usize>,
}

impl Fuse {
    /// Whether this request passes.
    fn passes(&mut self, request: &[u8]) -> bool {
        let text = self.text.as_bytes();
        if !text.is_empty() {
            if !request.windows(text.len()).any(|part| part == text) {
                return true;
            }
            self.text.clear();
        }
        let passes = self.most.is_none_or(|most| self.passed < most);
        self.passed += usize::from(passes);
        passes
    }
}

impl Proxy {
    /// A proxy for the server of a URL with host and port.
    pub fn before(url: &str) -> Self {
        Self::listening(TcpListener::bind("127.0.0.1:0").unwrap(), url)
    }

    /// The same with this listener.
    pub fn listening(listener: TcpListener, url: &str) -> Self {
        let (start, end, server) = address(url);
        let address = listener.local_addr().unwrap();
        let proxy = Self {
            url: format!("{}{address}{}", &url[..start], &url[end..]),
            server: Arc::new(Mutex::new(server)),
            mode: Arc::default(),
            connections: Arc::default(),
            opened: Arc::default(),
            fuse: Arc::default(),
        };
        let fuse = Arc::clone(&proxy.fuse);
        let server = Arc::clone(&proxy.server);
        let mode = Arc::clone(&proxy.mode);
        let connections = Arc::clone(&proxy.connections);
        let opened = Arc::clone(&proxy.opened);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if mode.load(Ordering::Acquire) == CUT {
                    continue;
                }
                let server = *server.lock().unwrap();
                let Ok(server) = TcpStream::connect(server) else {
                    continue;
                };
                opened.fetch_add(1, Ordering::Relaxed);
                let mut open = connections.lock().unwrap();
                open.push(client.try_clone().unwrap());
                open.push(server.try_clone().unwrap());
                drop(open);
                pump(
                    client.try_clone().unwrap(),
                    server.try_clone().unwrap(),
                    Arc::clone(&mode),
                    &[FROZEN],
                    Some(Arc::clone(&fuse)),
                );
                pump(server, client, Arc::clone(&mode), &[FROZEN, HOLDING], None);
            }
        });
        proxy
    }

    /// The server's URL, through the proxy.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The number of connections made so far.
    pub fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }

    /// Sends new connections to the server of this URL.
    pub fn lead_to(&self, url: &str) {
        *self.server.lock().unwrap() = address(url).2;
    }

    /// Closes all connections and refuses new ones.
    pub fn cut(&self) {
        self.mode.store(CUT, Ordering::Release);
        for connection in self.connections.lock().unwrap().drain(..) {
            let _gone = connection.shutdown(Shutdown::Both);
        }
    }

    /// Blocks all traffic, like a stopped server.
    pub fn freeze(&self) {
        self.mode.store(FROZEN, Ordering::Release);
    }

    /// Counts requests, from the first one that has this text. Freezes before one more than these, if there is a limit.
    pub fn count(&self, text: &str, most: Option<usize>) {
        *self.fuse.lock().unwrap() = Fuse {
            text: text.to_owned(),
            passed: 0,
            most,
        };
    }

    /// The requests that have passed since [`Self::count`].
    pub fn counted(&self) -> usize {
        self.fuse.lock().unwrap().passed
    }

    /// Returns when it is frozen.
    pub async fn frozen(&self) {
        while self.mode.load(Ordering::Acquire) != FROZEN {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Passes requests and holds the answers back.
    pub fn hold_answers(&self) {
        self.mode.store(HOLDING, Ordering::Release);
    }

    /// Returns to normal.
    pub fn heal(&self) {
        self.mode.store(OPEN, Ordering::Release);
    }
}

/// Where the host and port of a URL begin and end, and their address.
fn address(url: &str) -> (usize, usize, SocketAddr) {
    let start = url
        .rfind('@')
        .map_or_else(|| url.find("://").unwrap() + 3, |at| at + 1);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    (start, end, url[start..end].parse().unwrap())
}

/// A failing test must not hang on requests behind a frozen proxy.
impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

fn pump(
    mut from: TcpStream,
    mut to: TcpStream,
    mode: Arc<AtomicU8>,
    stops: &'static [u8],
    fuse: Option<Arc<Mutex<Fuse>>>,
) {
    from.set_nodelay(true).unwrap();
    from.set_read_timeout(Some(TICK)).unwrap();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    continue;
                }
                Err(_) => break,
            };
            if let Some(fuse) = &fuse
                && !fuse.lock().unwrap().passes(&buffer[..read])
            {
                mode.store(FROZEN, Ordering::Release);
            }
            while stops.contains(&mode.load(Ordering::Acquire)) {
                thread::sleep(TICK);
            }
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _gone = to.shutdown(Shutdown::Both);
        let _gone = from.shutdown(Shutdown::Both);
    });
}
