//! After the commit: apply the entries to the counts in Redis, publish to other nodes, and wake the waits of this node. A
//! failure here is logged and never returned to a sender: the next reader rebuilds stale counts, and the sweep wakes the
//! waits.

use crate::engine::waiting::registry::WaitRegistry;
use crate::model::ids::{ConversationId, Epoch, InboxSeq, UserId};
use crate::model::moved::Moved;
use crate::model::unread::CommittedEntry;
use crate::storage::redis::client::Redis;
use crate::storage::redis::sync::{notices, unread};
use crate::telemetry::Metrics;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The maximum number of committed batches in the queue while Redis is slow.
const QUEUE: usize = 1_024;

/// The maximum number of committed batches that are published together.
const MAX_COALESCED: usize = 64;

/// If this number of entries was published together, the node is busy …
const BUSY: usize = 32;

/// … and the publisher waits this long before it takes more: waking Redis and this task costs more than the work. There is
/// no delay while the node is not busy.
const COALESCE_DELAY: Duration = Duration::from_millis(3);

/// The result of a committed transaction.
struct Committed {
    at: Instant,
    entries: Vec<CommittedEntry>,
    /// The new heads of watched conversations.
    moved: HashMap<ConversationId, Moved>,
}

/// Publishes committed entries in their order.
#[derive(Clone)]
pub(super) struct Publisher {
    queue: mpsc::Sender<Committed>,
    waiters: Arc<WaitRegistry>,
    metrics: Arc<Metrics>,
}

impl Publisher {
    /// Starts the publisher, and returns its task, which ends when the last handle is dropped and the queue is empty.
    pub(super) fn start(
        redis: Arc<Redis>,
        waiters: Arc<WaitRegistry>,
        metrics: Arc<Metrics>,
        epoch: Epoch,
    ) -> (Self, JoinHandle<()>) {
        let (queue, committed) = mpsc::channel(QUEUE);
        let publisher = Self {
            queue,
            waiters: Arc::clone(&waiters),
            metrics: Arc::clone(&metrics),
        };
        let task = tokio::spawn(run(redis, waiters, metrics, epoch, committed));
        (publisher, task)
    }

    /// Queues committed entries, and heads of watched conversations.
    pub(super) fn publish(
        &self,
        entries: Vec<CommittedEntry>,
        moved: HashMap<ConversationId, Moved>,
    ) {
        if entries.is_empty() && moved.is_empty() {
            return;
        }
        let at = Instant::now();
        if let Err(full) = self.queue.try_send(Committed { at, entries, moved }) {
            log::warn!("publisher: {full}, so the counts in Redis will be rebuilt");
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
    let mut batches = Vec::with_capacity(MAX_COALESCED);
    while queue.recv_many(&mut batches, MAX_COALESCED).await > 0 {
        let times: Vec<_> = batches.iter().map(|batch| batch.at).collect();
        let (mut entries, mut moved) = (Vec::new(), HashMap::<_, Moved>::new());
        for batch in batches.drain(..) {
            entries.extend(batch.entries);
            // Batches are in commit order.
            for (id, heads) in batch.moved {
                let earlier = moved.get(&id).copied();
                moved.insert(id, earlier.map_or(heads, |earlier| earlier.and(heads)));
            }
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

fn wake_watchers(waiters: &Arc<WaitRegistry>, moved: &HashMap<ConversationId, Moved>) {
    for (conversation, heads) in moved {
        waiters.wake_conversation(*conversation, *heads);
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
        // A total as of an older seq is not the total as of this head: the woken wait queries its own.
        match totals.get(&user).filter(|total| total.as_of >= seq) {
            Some(total) => (user, total.as_of, Some(total.total)),
            None => (user, seq, None),
        }
    }));
}
