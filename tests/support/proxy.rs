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

/// Where a proxy stops.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// Before one more than so many requests: it is frozen.
    Before(usize),
    /// Before this commit, from 1.
    BeforeCommit(usize),
    /// After this commit: it passes, and the answers are held back.
    AfterCommit(usize),
}

/// What has passed, and where to stop.
#[derive(Default)]
struct Fuse {
    /// The count begins with the first request that has this text.
    from: String,
    requests: usize,
    commits: usize,
    stop: Option<Stop>,
}

impl Fuse {
    /// The mode that this request leads to.
    fn mode(&mut self, request: &[u8]) -> Option<u8> {
        let has = |text: &str| {
            let mut parts = request.windows(text.len());
            parts.any(|part| part == text.as_bytes())
        };
        if !self.from.is_empty() && !has(&self.from) {
            return None;
        }
        self.from.clear();
        self.requests += 1;
        let is_commit = has("COMMIT");
        self.commits += usize::from(is_commit);
        match self.stop? {
            Stop::Before(most) => (self.requests > most).then_some(FROZEN),
            Stop::BeforeCommit(n) => (is_commit && self.commits == n).then_some(FROZEN),
            Stop::AfterCommit(n) => (is_commit && self.commits == n).then_some(HOLDING),
        }
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

    /// Counts requests, from the first one that has this text, and stops there.
    pub fn count(&self, from: &str, stop: Option<Stop>) {
        *self.fuse.lock().unwrap() = Fuse {
            from: from.to_owned(),
            stop,
            ..Fuse::default()
        };
    }

    /// The requests since [`Self::count`], and how many of them were commits.
    pub fn counted(&self) -> [usize; 2] {
        let fuse = self.fuse.lock().unwrap();
        [fuse.requests, fuse.commits]
    }

    /// Returns when it has stopped.
    pub async fn stopped(&self) {
        while self.mode.load(Ordering::Acquire) == OPEN {
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
            let stopped = fuse.as_ref().map(|fuse| fuse.lock().unwrap());
            if let Some(stopped) = stopped.and_then(|mut fuse| fuse.mode(&buffer[..read])) {
                mode.store(stopped, Ordering::Release);
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
