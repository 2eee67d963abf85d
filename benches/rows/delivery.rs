//! Row 2: from a send until the receiver's parked notice is answered, at a moderate pace, against how long the same
//! transaction takes alone.

use crate::Options;
use crate::client::Person;
use crate::crowd::{BatchConfig, Crowd};
use crate::deployment::Ground;
use crate::load::{Asks, histogram, load, micros, ms, send};
use crate::reference::pgbench;
use crate::report::{Goal, Line};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Sends in a second.
const PACE: f64 = 300.0;

/// Receivers, so that each has long waited again when it gets the next message.
const RECEIVERS: usize = 600;

/// When a receiver was sent something, and how much of it they have heard of: nothing else is in their inbox.
#[derive(Default)]
struct Mail {
    sent: Vec<Instant>,
    heard: usize,
}

impl Mail {
    fn waits(&self) -> bool {
        self.heard < self.sent.len()
    }
}

/// A notice that is not there within this time was lost.
const PROMISED: Duration = Duration::from_secs(6);

pub async fn measure(ground: &Ground, options: &Options) -> Vec<Line> {
    let Found {
        notices: [p50, p99],
        acknowledged,
        generator,
    } = deliver(ground, options, false).await;
    let line = |what, goal, [ours, reference]: [Vec<f64>; 2]| Line {
        row: 2,
        what,
        unit: "ms",
        ours,
        reference,
        goal,
        generator: generator.clone(),
    };
    vec![
        line("send to notice at 300/s, p50", Goal::AtMost(1.5, 1.1), p50),
        line("send to notice at 300/s, p99", Goal::AtMost(3.0, 1.5), p99),
        Line::fact(2, "send to answer at 300/s, p50", "ms", acknowledged),
    ]
}

/// What was found in each round.
pub struct Found {
    /// Until the notice: median and 99th percentile, ours and the reference's.
    pub notices: [[Vec<f64>; 2]; 2],
    /// Until the answer, the median.
    acknowledged: Vec<f64>,
    generator: Vec<f64>,
}

/// Sends at a pace, and waits, on the same node or on another one.
pub async fn deliver(ground: &Ground, options: &Options, across: bool) -> Found {
    // Every other pair of the ring, so that nobody receives who sends.
    let users = 2 * RECEIVERS.min(options.users / 2);
    let deployment = ground.deploy("delivery", users).await;
    let ring = deployment.ring("").await;
    let pairs = users / 2;
    let receivers: Vec<Person> = (0..pairs)
        .map(|n| deployment.people[2 * n + 1].clone())
        .collect();
    let manner = BatchConfig {
        timeout: 55,
        spread: false,
        after: 0,
    };
    let other = match across {
        true => Some(deployment.another().await),
        false => None,
    };
    let waited_on = other.as_ref().unwrap_or(&deployment.node);
    let mut crowd = Crowd::new(waited_on.address, manner);
    crowd.grow(&receivers);

    let mail: Arc<Vec<Mutex<Mail>>> = Arc::new((0..pairs).map(|_| Mutex::default()).collect());
    let senders: Vec<_> = (0..pairs)
        .map(|n| (deployment.people[2 * n].clone(), ring[2 * n].clone()))
        .collect();
    let noted = Arc::clone(&mail);
    let asks: Asks = Arc::new(move |n| {
        let (person, conversation) = &senders[n % pairs];
        noted[n % pairs].lock().unwrap().sent.push(Instant::now());
        send(person, conversation)
    });

    let mut notices: [[Vec<f64>; 2]; 2] = Default::default();
    let (mut generator, mut acknowledged) = (Vec::new(), Vec::new());
    for round in 0..options.rounds {
        for turn in 0..2 {
            let latency = if (round + turn) % 2 == 0 {
                pgbench(&deployment, "send.sql", 1, options.time())
                    .await
                    .latency
            } else {
                deployment.sql("CHECKPOINT").await;
                waited_on.until_parked(pairs).await;
                let mut latency = histogram();
                let hear = async {
                    loop {
                        let woken = crowd.next().await;
                        let mut mail = mail[woken.who].lock().unwrap();
                        // On a very busy machine one notice tells of two messages.
                        for sent in &mail.sent[mail.heard..woken.head] {
                            latency.record(micros(woken.at - *sent)).unwrap();
                        }
                        mail.heard = woken.head;
                    }
                };
                let pace = Some(PACE);
                let sends = load(deployment.node.address, 16, options.time(), pace, &asks);
                let told = async {
                    let done = sends.await;
                    let all_told = async {
                        let waits = |mail: &Mutex<Mail>| mail.lock().unwrap().waits();
                        while mail.iter().any(waits) {
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                    };
                    timeout(PROMISED, all_told).await.unwrap();
                    done
                };
                let done = tokio::select! {
                    done = told => done,
                    () = hear => unreachable!(),
                };
                assert_eq!(latency.len(), done.answered as u64, "a notice a send");
                generator.push(done.generator);
                acknowledged.push(done.ms(0.5));
                latency
            };
            for (quantile, of_it) in [0.5, 0.99].into_iter().zip(&mut notices) {
                // Ours first.
                of_it[1 - (round + turn) % 2].push(ms(&latency, quantile));
            }
        }
    }
    drop(crowd);
    if let Some(other) = other {
        other.stop().await;
    }
    ground.clear(deployment).await;
    Found {
        notices,
        acknowledged,
        generator,
    }
}
