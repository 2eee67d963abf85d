//! After the commit: count in Redis, tell the other nodes, wake the waits of this node. A failure here is logged, never returned to a sender:
//! the counts are rebuilt by whoever finds them behind, and the sweep finds the waits.

use crate::engine::waiting::registry::WaitRegistry;
use crate::model::ids::{ConvSeq, ConversationId, Epoch, InboxSeq, UserId};
use crate::model::unread::CommittedEntry;
use crate::storage::redis::client::Redis;
use crate::storage::redis::sync::{notices, unread};
use crate::telemetry::Metrics;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How many committed batches may wait to be announced, while Redis is slow.
const QUEUE: usize = 1_024;

/// How many of them are announced in one go.
const MAX_COALESCED: usize = 64;

/// A clump of so many entries means that the server is busy …
const BUSY: usize = 32;

/// … and that the next one waits so long for company: most of the cost of announcing is in waking Redis and this task,
/// not in the work. When the server is not busy, nothing waits.
const COALESCE_DELAY: Duration = Duration::from_millis(3);

/// What a transaction has committed.
struct Committed {
    at: Instant,
    entries: Vec<CommittedEntry>,
    /// The new heads of large conversations.
    moved: HashMap<ConversationId, ConvSeq>,
}

/// Announces committed entries in their order.
#[derive(Clone)]
pub(super) struct Publisher {
    queue: mpsc::Sender<Committed>,
    waiters: Arc<WaitRegistry>,
    metrics: Arc<Metrics>,
}

impl Publisher {
    /// Starts the announcer, and returns its task, which ends when the last handle is gone and all is announced.
    pub(super) fn start(
        redis: Arc<Redis>,
        waiters: Arc<WaitRegistry>,
        metrics: Arc<Metrics>,
        epoch: Epoch,
    ) -> (Self, JoinHandle<()>) {
        let (queue, committed) = mpsc::channel(QUEUE);
        let announcer = Self {
            queue,
            waiters: Arc::clone(&waiters),
            metrics: Arc::clone(&metrics),
        };
        let task = tokio::spawn(run(redis, waiters, metrics, epoch, committed));
        (announcer, task)
    }

    /// Tells of entries that were committed just now, and of heads of large conversations.
    pub(super) fn announce(
        &self,
        entries: Vec<CommittedEntry>,
        moved: HashMap<ConversationId, ConvSeq>,
    ) {
        if entries.is_empty() && moved.is_empty() {
            return;
        }
        let at = Instant::now();
        if let Err(full) = self.queue.try_send(Committed { at, entries, moved }) {
            log::warn!("announcer: {full}, so the counts will be rebuilt");
            let Committed { at, entries, moved } = full.into_inner();
            let dropped = &self.metrics.announcements_dropped_queue;
            dropped.inc_by(entries.len() as u64);
            wake(&self.waiters, &entries, &HashMap::new());
            wake_watchers(&self.waiters, &moved);
            self.metrics
                .commit_to_wake
                .observe(at.elapsed().as_secs_f64());
        }
    }
}

async fn run(
    redis: Arc<Redis>,
    waiters: Arc<WaitRegistry>,
    metrics: Arc<Metrics>,
    epoch: Epoch,
    mut queue: mpsc::Receiver<Committed>,
) {
    let mut clump = Vec::with_capacity(MAX_COALESCED);
    while queue.recv_many(&mut clump, MAX_COALESCED).await > 0 {
        let times: Vec<_> = clump.iter().map(|one| one.at).collect();
        let (mut entries, mut moved) = (Vec::new(), HashMap::new());
        for one in clump.drain(..) {
            entries.extend(one.entries);
            // Committed in this order, so the last one is the head.
            moved.extend(one.moved);
        }
        wake_watchers(&waiters, &moved);
        let (applied, ()) = tokio::join!(
            unread::apply(&redis, epoch, &entries),
            notices::publish(&redis, epoch, &moved)
        );
        let dropped = &metrics.announcements_dropped_redis;
        dropped.inc_by(applied.lost as u64);
        wake(&waiters, &entries, &applied.totals);
        for at in times {
            metrics.commit_to_wake.observe(at.elapsed().as_secs_f64());
        }
        if entries.len() >= BUSY {
            tokio::time::sleep(COALESCE_DELAY).await;
        }
    }
}

fn wake_watchers(waiters: &WaitRegistry, moved: &HashMap<ConversationId, ConvSeq>) {
    for (conversation, seq) in moved {
        waiters.wake_conversation(*conversation, *seq);
    }
}

fn wake(
    waiters: &WaitRegistry,
    entries: &[CommittedEntry],
    totals: &HashMap<UserId, unread::Total>,
) {
    let mut heads: HashMap<UserId, InboxSeq> = HashMap::new();
    for entry in entries {
        let head = heads.entry(entry.receiver).or_default();
        *head = entry.seq.max(*head);
    }
    waiters.wake_inbox(heads.into_iter().map(|(user, seq)| {
        // A total as of an older seq does not belong to this news: the woken wait asks for itself.
        match totals.get(&user).filter(|total| total.as_of >= seq) {
            Some(total) => (user, total.as_of, Some(total.total)),
            None => (user, seq, None),
        }
    }));
}
