//! After the commit: count in Redis, wake the waits of this node. A failure here is logged, never returned to a sender:
//! the counts are rebuilt by whoever finds them behind, and the sweep finds the waits.

use crate::domain::waiters::Waiters;
use crate::model::ids::{Epoch, InboxSeq, UserId};
use crate::model::unread::Announcement;
use crate::storage::redis::{Redis, unread};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How many committed batches may wait to be announced, while Redis is slow.
const QUEUE: usize = 1_024;

/// How many of them are announced in one go.
const CLUMP: usize = 64;

/// A clump of so many entries means that the server is busy …
const BUSY: usize = 32;

/// … and that the next one waits so long for company: most of the cost of announcing is in waking Redis and this task,
/// not in the work. When the server is not busy, nothing waits.
const COMPANY: Duration = Duration::from_millis(3);

/// Announces committed entries in their order.
#[derive(Clone)]
pub(super) struct Announcer {
    queue: mpsc::Sender<Vec<Announcement>>,
    waiters: Arc<Waiters>,
}

impl Announcer {
    /// Starts the announcer, and returns its task, which ends when the last handle is gone and all is announced.
    pub(super) fn start(
        redis: Arc<Redis>,
        waiters: Arc<Waiters>,
        epoch: Epoch,
    ) -> (Self, JoinHandle<()>) {
        let (queue, entries) = mpsc::channel(QUEUE);
        let task = tokio::spawn(run(redis, Arc::clone(&waiters), epoch, entries));
        (Self { queue, waiters }, task)
    }

    pub(super) fn announce(&self, entries: Vec<Announcement>) {
        if entries.is_empty() {
            return;
        }
        if let Err(full) = self.queue.try_send(entries) {
            log::warn!("announcer: {full}, so the counts will be rebuilt");
            wake(&self.waiters, &full.into_inner(), &HashMap::new());
        }
    }
}

async fn run(
    redis: Arc<Redis>,
    waiters: Arc<Waiters>,
    epoch: Epoch,
    mut queue: mpsc::Receiver<Vec<Announcement>>,
) {
    let mut clump = Vec::with_capacity(CLUMP);
    while queue.recv_many(&mut clump, CLUMP).await > 0 {
        let entries: Vec<_> = clump.drain(..).flatten().collect();
        let totals = unread::apply(&redis, epoch, &entries).await;
        wake(&waiters, &entries, &totals.unwrap_or_default());
        if entries.len() >= BUSY {
            tokio::time::sleep(COMPANY).await;
        }
    }
}

fn wake(waiters: &Waiters, entries: &[Announcement], totals: &HashMap<UserId, unread::Total>) {
    let mut heads: HashMap<UserId, InboxSeq> = HashMap::new();
    for entry in entries {
        let head = heads.entry(entry.receiver).or_default();
        *head = entry.seq.max(*head);
    }
    for (user, seq) in heads {
        // A total as of an older seq does not belong to this news: the woken wait asks for itself.
        match totals.get(&user).filter(|total| total.as_of >= seq) {
            Some(total) => waiters.news(user, total.as_of, Some(total.total)),
            None => waiters.news(user, seq, None),
        };
    }
}
