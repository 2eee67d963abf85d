//! Requests from a number of connections, as fast as they are answered or at a fixed rate, and how long each took.

use crate::client::{Connection, Person};
use crate::deployment::cpu;
use hdrhistogram::Histogram;
use hyper::Method;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// A request, and by what its answer is known to be right.
pub struct Ask {
    pub method: Method,
    pub path: String,
    pub person: Person,
    pub body: String,
    pub status: u16,
    /// It must contain this.
    pub says: String,
}

/// The nth request. Called at the moment when it is sent.
pub type Asks = Arc<dyn Fn(usize) -> Ask + Send + Sync>;

/// What came of it.
pub struct Load {
    pub answered: usize,
    pub seconds: f64,
    /// In microseconds.
    pub latency: Histogram<u64>,
    /// Our own share of a core.
    pub generator: f64,
}

impl Load {
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.seconds
    }

    /// A quantile of the latency, in milliseconds.
    pub fn ms(&self, quantile: f64) -> f64 {
        ms(&self.latency, quantile)
    }
}

/// A quantile of microseconds, in milliseconds.
pub fn ms(latency: &Histogram<u64>, quantile: f64) -> f64 {
    latency.value_at_quantile(quantile) as f64 / 1e3
}

pub fn histogram() -> Histogram<u64> {
    Histogram::new(3).unwrap()
}

/// A message from somebody in a conversation.
pub fn send(person: &Person, conversation: &str) -> Ask {
    let id = tideline::clock::new_id();
    Ask {
        method: Method::POST,
        path: format!("/v1/conversations/{conversation}/messages"),
        person: person.clone(),
        body: format!(
            r#"{{"client_msg_id":"{id}","kind":"text","content":{{"text":"sixty characters of small talk, as people send them all day."}}}}"#
        ),
        status: 201,
        says: id.to_string(),
    }
}

/// From all connections at once, each the next one when it was answered; or, with a rate, when a request is due. One that
/// finds no connection free counts from when it was due, so that a slow server does not slow the clock that judges it.
pub async fn load(
    to: SocketAddr,
    connections: usize,
    time: Duration,
    rate: Option<f64>,
    asks: &Asks,
) -> Load {
    let next = Arc::new(AtomicUsize::new(0));
    let mut opened = Vec::new();
    for _ in 0..connections {
        opened.push(Connection::open(to).await.unwrap());
    }
    let (before, start) = (cpu("self").unwrap(), Instant::now());
    let mut workers = JoinSet::new();
    for mut connection in opened {
        let (next, asks) = (Arc::clone(&next), Arc::clone(asks));
        workers.spawn(async move {
            let mut latency = histogram();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let due = rate.map(|rate| start + Duration::from_secs_f64(n as f64 / rate));
                let mut begun = Instant::now();
                if due.unwrap_or(begun) >= start + time {
                    return latency;
                }
                match due {
                    Some(due) if begun < due => {
                        sleep_until(due).await;
                        begun = Instant::now();
                    }
                    Some(due) => begun = due,
                    None => {}
                }
                let ask = asks(n);
                let answer = connection.call(ask.method, &ask.path, Some(&ask.person), ask.body);
                let body = answer.await.unwrap().ok(ask.status);
                latency.record(micros(begun.elapsed())).unwrap();
                let said = str::from_utf8(&body).unwrap();
                assert!(said.contains(&ask.says), "no {:?} in {said}", ask.says);
            }
        });
    }
    let mut latency = histogram();
    while let Some(ended) = workers.join_next().await {
        latency.add(ended.unwrap()).unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    Load {
        answered: usize::try_from(latency.len()).unwrap(),
        seconds,
        latency,
        generator: (cpu("self").unwrap() - before) / seconds,
    }
}

pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap()
}
