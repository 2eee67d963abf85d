//! Devices that wait for news, each on a connection of its own.

use crate::client::{Answer, Connection, Person};
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// So many connections come from one address of the loopback. With more, what rounds before have left behind fills its ports, and
/// the kernel searches for a free one for seconds, in which this program does nothing else.
const OF_ONE_ADDRESS: usize = 500;

/// So many are being made at once, where it is not the storm that is measured.
const AT_ONCE: usize = 256;

/// How they wait.
#[derive(Clone, Copy)]
pub struct BatchConfig {
    /// For so many seconds at most.
    pub timeout: u64,
    /// The first time for less, so that they do not all wait again at once.
    pub spread: bool,
    /// After so many waits of a second on the same connection.
    pub after: usize,
}

/// What has woken somebody.
pub struct Woken {
    pub who: usize,
    /// The head of their inbox.
    pub head: usize,
    pub at: Instant,
}

pub struct Crowd {
    waiting: JoinSet<()>,
    place: Arc<Place>,
    move_to: watch::Sender<SocketAddr>,
    woken: mpsc::UnboundedReceiver<Woken>,
    tell: mpsc::UnboundedSender<Woken>,
    manner: BatchConfig,
    watch: Option<Arc<str>>,
}

/// Where they wait, and what they have met.
struct Place {
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
}

#[derive(Deserialize)]
struct Watched {
    last_seq: usize,
}

impl Crowd {
    pub fn new(at: SocketAddr, manner: BatchConfig) -> Self {
        let (move_to, address) = watch::channel(at);
        let (tell, woken) = mpsc::unbounded_channel();
        let place = Place {
            address,
            opening: Semaphore::new(AT_ONCE),
            polls: AtomicUsize::new(0),
            overloaded: AtomicUsize::new(0),
        };
        Self {
            waiting: JoinSet::new(),
            place: Arc::new(place),
            move_to,
            woken,
            tell,
            manner,
            watch: None,
        }
    }

    /// Whoever comes from now on watches this conversation as well.
    pub fn watch(&mut self, conversation: &str) {
        self.watch = Some(conversation.into());
    }

    /// More of them, until there are as many as these people.
    pub fn grow(&mut self, people: &[Person]) {
        for (who, person) in people.iter().enumerate().skip(self.waiting.len()) {
            let device = Device {
                who,
                person: person.clone(),
                since: 0,
                watch: self.watch.clone(),
                watched: 0,
                place: Arc::clone(&self.place),
                tell: self.tell.clone(),
                manner: self.manner,
            };
            self.waiting.spawn(device.wait_on());
        }
    }

    /// From now on another node is theirs, which they turn to when theirs is gone: all of them at once.
    pub fn move_to(&self, address: SocketAddr) {
        self.place.opening.add_permits(self.waiting.len());
        self.move_to.send(address).unwrap();
    }

    /// The next one that is woken.
    pub async fn next(&mut self) -> Woken {
        self.woken.recv().await.unwrap()
    }

    /// Forgets who was woken until now.
    pub fn forget(&mut self) {
        while self.woken.try_recv().is_ok() {}
    }

    /// Waits that have begun so far.
    pub fn polls(&self) -> usize {
        self.place.polls.load(Ordering::Relaxed)
    }

    /// Answers `overloaded` so far.
    pub fn overloaded(&self) -> usize {
        self.place.overloaded.load(Ordering::Relaxed)
    }
}

struct Device {
    who: usize,
    person: Person,
    since: usize,
    watch: Option<Arc<str>>,
    watched: usize,
    place: Arc<Place>,
    tell: mpsc::UnboundedSender<Woken>,
    manner: BatchConfig,
}

impl Device {
    async fn wait_on(mut self) {
        loop {
            let at = *self.place.address.borrow();
            let error = self.wait_at(at).await;
            // Only a node that was left on purpose may let go of somebody.
            let left = at != *self.place.address.borrow();
            assert!(left, "a wait was cut off: {error}");
        }
    }

    /// Waits again and again, until the connection is lost.
    async fn wait_at(&mut self, address: SocketAddr) -> Box<dyn std::error::Error + Send + Sync> {
        let part = u8::try_from(self.who / OF_ONE_ADDRESS).unwrap();
        let from = Ipv4Addr::new(127, 0, 1, 1 + part);
        let permit = self.place.opening.acquire().await.unwrap();
        let opened = Connection::open_from(from, address).await;
        drop(permit);
        let mut connection = match opened {
            Ok(connection) => connection,
            Err(error) => return error.into(),
        };
        connection.browse();
        let mut polls = 0;
        loop {
            let short = polls < self.manner.after;
            let timeout = match self.manner.timeout {
                _ if short => 1,
                timeout if self.manner.spread && polls == 0 => rand::random_range(1..=timeout),
                timeout => timeout,
            };
            let mut path = format!("/v1/notices?since_seq={}&timeout={timeout}", self.since);
            if let Some(watch) = &self.watch {
                path += &format!("&watch={watch}:{}", self.watched);
            }
            self.place.polls.fetch_add(1, Ordering::Relaxed);
            let answer = match connection.get(&path, &self.person).await {
                Ok(answer) => answer,
                Err(error) => return error.into(),
            };
            polls += 1;
            self.hear(answer).await;
        }
    }

    async fn hear(&mut self, answer: Answer) {
        if let Some(seconds) = answer.retry_after {
            let said = String::from_utf8_lossy(&answer.body);
            assert!(said.contains(r#""code":"overloaded""#), "{said}");
            self.place.overloaded.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_secs(seconds)).await;
            return;
        }
        let notice: Notice = serde_json::from_slice(&answer.ok(200)).unwrap();
        if let Some(watched) = notice.watched.first() {
            self.watched = watched.last_seq;
        }
        if notice.news || !notice.watched.is_empty() {
            self.since = notice.last_seq;
            // Nobody listens any more when a row has ended.
            let _ended = self.tell.send(Woken {
                who: self.who,
                head: notice.last_seq,
                at: Instant::now(),
            });
        }
    }
}
