//! Load from a number of connections, closed-loop or at a fixed rate, with the latency of each request.

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

/// A request and its expected response.
pub struct PlannedRequest {
    pub method: Method,
    pub path: String,
    pub person: Person,
    pub body: String,
    pub status: u16,
    /// A text that the body must contain.
    pub must_contain: String,
}

/// Returns the nth request. Called when it is sent.
pub type RequestSource = Arc<dyn Fn(usize) -> PlannedRequest + Send + Sync>;

/// The result of a load.
pub struct Load {
    pub answered: usize,
    pub seconds: f64,
    /// In microseconds.
    pub latency: Histogram<u64>,
    /// The generator's own share of a core.
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

/// A text message of this person.
pub fn send(person: &Person, conversation: &str) -> PlannedRequest {
    let id = tideline::clock::new_id();
    PlannedRequest {
        method: Method::POST,
        path: format!("/v1/conversations/{conversation}/messages"),
        person: person.clone(),
        body: format!(
            r#"{{"client_msg_id":"{id}","kind":"text","content":{{"text":"sixty characters of small talk, as people send them all day."}}}}"#
        ),
        status: 201,
        must_contain: id.to_string(),
    }
}

/// Sends from all connections in parallel. Without a rate, each connection sends the next request after a response. With a rate,
/// requests are sent when they are due; the latency counts from then, even if no connection was free, so that a slow server does
/// not hide its own delays (coordinated omission).
pub async fn load(
    to: SocketAddr,
    connections: usize,
    time: Duration,
    rate: Option<f64>,
    requests: &RequestSource,
) -> Load {
    let next = Arc::new(AtomicUsize::new(0));
    let mut opened = Vec::new();
    for _ in 0..connections {
        opened.push(Connection::open(to).await.unwrap());
    }
    let (before, start) = (cpu("self").unwrap(), Instant::now());
    let mut workers = JoinSet::new();
    for mut connection in opened {
        let (next, requests) = (Arc::clone(&next), Arc::clone(requests));
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
                let request = requests(n);
                let answer = connection.call(
                    request.method,
                    &request.path,
                    Some(&request.person),
                    request.body,
                );
                let body = answer.await.unwrap().ok(request.status);
                latency.record(micros(begun.elapsed())).unwrap();
                let said = str::from_utf8(&body).unwrap();
                assert!(
                    said.contains(&request.must_contain),
                    "no {:?} in {said}",
                    request.must_contain
                );
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
