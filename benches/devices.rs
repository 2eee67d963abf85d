//! Devices that wait for news, each on its own connection.

use crate::client::{Answer, Connection, Person};
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Connections from each loopback address. With more, the closed connections of earlier rounds use up its ports: the kernel then
/// searches seconds for a free port, and this program is blocked.
const PER_ADDRESS: usize = 500;

/// Connections that are opened at a time, except in the reconnect storm.
const OPENING_LIMIT: usize = 256;

/// How the devices wait.
#[derive(Clone, Copy)]
pub struct WaitConfig {
    /// The timeout of a wait, in seconds.
    pub timeout: u64,
    /// The first wait has a random timeout, so that the devices do not all wait again together.
    pub spread: bool,
    /// Waits of one second that come first on the same connection.
    pub short_waits: usize,
}

/// A device got news.
pub struct Woken {
    /// The number of the person.
    pub who: usize,
    /// The latest seq of their inbox.
    pub head: usize,
    pub at: Instant,
}

pub struct WaitingDevices {
    waiting: JoinSet<()>,
    shared: Arc<SharedState>,
    move_to: watch::Sender<SocketAddr>,
    woken: mpsc::UnboundedReceiver<Woken>,
    on_wake: mpsc::UnboundedSender<Woken>,
    config: WaitConfig,
    watch: Option<Arc<str>>,
    changes: bool,
    presence_of: Option<Arc<str>>,
    presence_wakes: bool,
}

/// State of all devices: the node's address, and counters.
struct SharedState {
    address: watch::Receiver<SocketAddr>,
    opening: Semaphore,
    polls: AtomicUsize,
    overloaded: AtomicUsize,
}

#[derive(Deserialize)]
struct Notice {
    news: bool,
    last_seq: usize,
    watched: Vec<Watched>,
    signals: Option<Signals>,
}

#[derive(Deserialize)]
struct Signals {
    presence: Option<PresenceSignal>,
}

#[derive(Deserialize)]
struct PresenceSignal {
    cursor: String,
}

#[derive(Deserialize)]
struct Watched {
    last_seq: usize,
    change_seq: usize,
}

impl WaitingDevices {
    pub fn new(at: SocketAddr, config: WaitConfig) -> Self {
        let (move_to, address) = watch::channel(at);
        let (on_wake, woken) = mpsc::unbounded_channel();
        let shared = SharedState {
            address,
            opening: Semaphore::new(OPENING_LIMIT),
            polls: AtomicUsize::new(0),
            overloaded: AtomicUsize::new(0),
        };
        Self {
            waiting: JoinSet::new(),
            shared: Arc::new(shared),
            move_to,
            woken,
            on_wake,
            config,
            watch: None,
            changes: false,
            presence_of: None,
            presence_wakes: false,
        }
    }

    /// Devices that are added later also watch this conversation.
    pub fn watch(&mut self, conversation: &str) {
        self.watch = Some(conversation.into());
    }

    /// They also wait for changes of its messages.
    pub fn watch_changes(&mut self, conversation: &str) {
        self.watch(conversation);
        self.changes = true;
    }

    /// Devices that are added later are also notified of this person's presence: with answers that they get anyway, or woken by it.
    pub fn watch_presence(&mut self, user: &str, wakes: bool) {
        self.presence_of = Some(user.into());
        self.presence_wakes = wakes;
    }

    /// Adds devices, until each of these people has one.
    pub fn grow(&mut self, people: &[Person]) {
        for (who, person) in people.iter().enumerate().skip(self.waiting.len()) {
            let device = Device {
                who,
                person: person.clone(),
                since: 0,
                watch: self.watch.clone(),
                watched: 0,
                change: self.changes.then_some(0),
                presence_of: self.presence_of.clone(),
                presence_wakes: self.presence_wakes,
                presence: None,
                shared: Arc::clone(&self.shared),
                on_wake: self.on_wake.clone(),
                config: self.config,
            };
            self.waiting.spawn(device.wait_on());
        }
    }

    /// Devices that lose their connection reconnect to this node, all together.
    pub fn move_to(&self, address: SocketAddr) {
        self.shared.opening.add_permits(self.waiting.len());
        self.move_to.send(address).unwrap();
    }

    /// The next device that gets news.
    pub async fn next(&mut self) -> Woken {
        self.woken.recv().await.unwrap()
    }

    /// Discards the wake-ups until now.
    pub fn clear(&mut self) {
        while self.woken.try_recv().is_ok() {}
    }

    /// The number of waits that have begun.
    pub fn polls(&self) -> usize {
        self.shared.polls.load(Ordering::Relaxed)
    }

    /// The number of `overloaded` responses.
    pub fn overloaded(&self) -> usize {
        self.shared.overloaded.load(Ordering::Relaxed)
    }
}

struct Device {
    who: usize,
    person: Person,
    since: usize,
    watch: Option<Arc<str>>,
    watched: usize,
    /// The last change that it has seen, if it waits for changes.
    change: Option<usize>,
    presence_of: Option<Arc<str>>,
    presence_wakes: bool,
    /// The cursor of the presence of this person, once it is there.
    presence: Option<String>,
    shared: Arc<SharedState>,
    on_wake: mpsc::UnboundedSender<Woken>,
    config: WaitConfig,
}

impl Device {
    async fn wait_on(mut self) {
        loop {
            let at = *self.shared.address.borrow();
            let error = self.wait_at(at).await;
            // Only the node that is stopped on purpose may close connections.
            let left = at != *self.shared.address.borrow();
            assert!(left, "a wait was cut off: {error}");
        }
    }

    /// Waits repeatedly, until the connection is lost.
    async fn wait_at(&mut self, address: SocketAddr) -> Box<dyn std::error::Error + Send + Sync> {
        let part = u8::try_from(self.who / PER_ADDRESS).unwrap();
        let from = Ipv4Addr::new(127, 0, 1, 1 + part);
        let permit = self.shared.opening.acquire().await.unwrap();
        let opened = Connection::open_from(from, address).await;
        drop(permit);
        let mut connection = match opened {
            Ok(connection) => connection,
            Err(error) => return error.into(),
        };
        connection.use_browser_headers();
        let mut polls = 0;
        if let Err(error) = self.follow_presence(&mut connection).await {
            return error.into();
        }
        loop {
            let short = polls < self.config.short_waits;
            let timeout = match self.config.timeout {
                _ if short => 1,
                timeout if self.config.spread && polls == 0 => rand::random_range(1..=timeout),
                timeout => timeout,
            };
            let mut path = format!("/v1/notices?since_seq={}&timeout={timeout}", self.since);
            if let Some(watch) = &self.watch {
                path += &format!("&watch={watch}:{}", self.watched);
                path.extend(self.change.map(|change| format!(":{change}")));
            }
            if let Some(cursor) = &self.presence {
                path += &format!("&presence={cursor}");
                path += if self.presence_wakes {
                    "&presence_wake=true"
                } else {
                    ""
                };
            }
            self.shared.polls.fetch_add(1, Ordering::Relaxed);
            let answer = match connection.get(&path, &self.person).await {
                Ok(answer) => answer,
                Err(error) => return error.into(),
            };
            polls += 1;
            self.handle(answer).await;
        }
    }

    /// Gets the cursor of the presence, if this device follows somebody.
    async fn follow_presence(&mut self, connection: &mut Connection) -> hyper::Result<()> {
        while let (None, Some(user)) = (&self.presence, &self.presence_of) {
            let body = format!(r#"{{"user_ids":["{user}"]}}"#);
            let call = connection.post("/v1/presence/cursors", &self.person, body);
            let answer = call.await?;
            if !self.is_overloaded(&answer).await {
                let made: PresenceSignal = serde_json::from_slice(&answer.ok(200)).unwrap();
                self.presence = Some(made.cursor);
            }
        }
        Ok(())
    }

    /// Waits as long as an `overloaded` response says.
    async fn is_overloaded(&self, answer: &Answer) -> bool {
        let Some(seconds) = answer.retry_after else {
            return false;
        };
        let said = String::from_utf8_lossy(&answer.body);
        assert!(said.contains(r#""code":"overloaded""#), "{said}");
        self.shared.overloaded.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_secs(seconds)).await;
        true
    }

    async fn handle(&mut self, answer: Answer) {
        if self.is_overloaded(&answer).await {
            return;
        }
        let notice: Notice = serde_json::from_slice(&answer.ok(200)).unwrap();
        if let Some(watched) = notice.watched.first() {
            self.watched = watched.last_seq;
            self.change = self.change.map(|_| watched.change_seq);
        }
        let presence = notice.signals.and_then(|signals| signals.presence);
        let changed = presence.is_some();
        self.presence = presence.map(|it| it.cursor).or(self.presence.take());
        if notice.news || changed || !notice.watched.is_empty() {
            self.since = notice.last_seq;
            // Fails when the row has ended.
            let _ended = self.on_wake.send(Woken {
                who: self.who,
                head: notice.last_seq,
                at: Instant::now(),
            });
        }
    }
}
