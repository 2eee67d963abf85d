//! Row 2: the time from a send to the response of the receiver's parked wait, at a moderate rate, against the duration of the same
//! transaction alone.

use crate::Options;
use crate::client::Person;
use crate::deployment::Environment;
use crate::devices::{WaitConfig, WaitingDevices};
use crate::load::{RequestSource, histogram, load, micros, ms, send};
use crate::reference::pgbench;
use crate::report::{Goal, Line};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Sends per second.
const PACE: f64 = 300.0;

/// Receivers. So many, that each waits again before its next message.
const RECEIVERS: usize = 600;

/// The times of the sends to a receiver, and how many of them were notified. The inbox has no other entries.
#[derive(Default)]
struct Mail {
    sent: Vec<Instant>,
    notified: usize,
}

impl Mail {
    fn has_unnotified(&self) -> bool {
        self.notified < self.sent.len()
    }
}

/// A notice that does not arrive within this time was lost.
const NOTICE_DEADLINE: Duration = Duration::from_secs(6);

pub async fn measure(environment: &Environment, options: &Options) -> Vec<Line> {
    let Delivery {
        notices: [p50, p99],
        acknowledged,
        generator,
    } = deliver(environment, options, false).await;
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

/// The values of each round.
pub struct Delivery {
    /// The time to the notice: median and 99th percentile, of our side and of the reference.
    pub notices: [[Vec<f64>; 2]; 2],
    /// The median time to the response of the send.
    acknowledged: Vec<f64>,
    generator: Vec<f64>,
}

/// Sends at a fixed rate. The receivers wait on the same node, or on another one.
pub async fn deliver(environment: &Environment, options: &Options, across: bool) -> Delivery {
    // Every other pair of the ring, so that senders are not receivers.
    let users = 2 * RECEIVERS.min(options.users / 2);
    let deployment = environment.deploy("delivery", users).await;
    let ring = deployment.ring("").await;
    let pairs = users / 2;
    let receivers: Vec<Person> = (0..pairs)
        .map(|n| deployment.people[2 * n + 1].clone())
        .collect();
    let config = WaitConfig {
        timeout: 55,
        spread: false,
        short_waits: 0,
    };
    let other = match across {
        true => Some(deployment.another().await),
        false => None,
    };
    let waited_on = other.as_ref().unwrap_or(&deployment.node);
    let mut devices = WaitingDevices::new(waited_on.address, config);
    devices.grow(&receivers);

    let mail: Arc<Vec<Mutex<Mail>>> = Arc::new((0..pairs).map(|_| Mutex::default()).collect());
    let senders: Vec<_> = (0..pairs)
        .map(|n| (deployment.people[2 * n].clone(), ring[2 * n].clone()))
        .collect();
    let noted = Arc::clone(&mail);
    let requests: RequestSource = Arc::new(move |n| {
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
                let receive = async {
                    loop {
                        let woken = devices.next().await;
                        let mut mail = mail[woken.who].lock().unwrap();
                        // On a busy machine one notice may cover two messages.
                        for sent in &mail.sent[mail.notified..woken.head] {
                            latency.record(micros(woken.at - *sent)).unwrap();
                        }
                        mail.notified = woken.head;
                    }
                };
                let pace = Some(PACE);
                let sends = load(deployment.node.address, 16, options.time(), pace, &requests);
                let deliver_all = async {
                    let done = sends.await;
                    let all_notified = async {
                        let is_waiting = |mail: &Mutex<Mail>| mail.lock().unwrap().has_unnotified();
                        while mail.iter().any(is_waiting) {
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                    };
                    timeout(NOTICE_DEADLINE, all_notified).await.unwrap();
                    done
                };
                let done = tokio::select! {
                    done = deliver_all => done,
                    () = receive => unreachable!(),
                };
                assert_eq!(latency.len(), done.answered as u64, "one notice per send");
                generator.push(done.generator);
                acknowledged.push(done.ms(0.5));
                latency
            };
            for (quantile, of_it) in [0.5, 0.99].into_iter().zip(&mut notices) {
                // Our side first.
                of_it[1 - (round + turn) % 2].push(ms(&latency, quantile));
            }
        }
    }
    drop(devices);
    if let Some(other) = other {
        other.stop().await;
    }
    environment.clear(deployment).await;
    Delivery {
        notices,
        acknowledged,
        generator,
    }
}
