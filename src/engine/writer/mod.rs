//! The batching writer: many sends, one commit.
//!
//! A request puts a command into a bounded queue and awaits the reply. A few threads, sharded by conversation, own one
//! connection each. A writer takes up to 256 queued commands (no timer, no artificial delay) and executes them as one
//! transaction of a handful of statements. After the commit it hands the entries to the publisher, which applies them to Redis
//! and wakes the waits of this node, and replies to each caller.
//!
//! `queue` is the thread, `batch` the transaction, `commands` the rules and the allocation of seqs, `publish` the work after
//! the commit, and `deferred` the commands for conversations that another transaction has locked.

mod batch;
mod command;
pub mod commands;
mod deferred;
pub mod publish;
mod queue;
mod state;

use crate::engine::batching::reply::channel;
use crate::engine::error::Error;
use crate::engine::search::hints::IndexHints;
use crate::engine::waiting::registry::WaitRegistry;
use crate::engine::writer::command::{Command, CommandTarget, QUEUE, Queued, RETRY_AFTER, Rule};
use crate::model::ids::{ConversationId, Epoch, UserId};
use crate::model::unread::CommittedEntry;
use crate::storage::pg::{DEADLINE, Pg};
use crate::storage::redis::client::Redis;
use crate::telemetry::Metrics;
use publish::Publisher;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// How often a stopping node checks whether a writer has ended.
const STOP_POLL: Duration = Duration::from_millis(10);

/// A pending answer.
pub struct Answer<T>(oneshot::Receiver<Result<T, Error>>);

impl<T> Answer<T> {
    /// Waits for the answer. After a time-out the command may still be executed: its outcome is unknown, not "failed".
    pub async fn wait(self) -> Result<T, Error> {
        match tokio::time::timeout(DEADLINE, self.0).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(Error::StorageUnavailable),
        }
    }
}

/// All writers of this node.
pub struct Writers {
    queues: Vec<mpsc::Sender<Box<dyn Command>>>,
    publisher: Publisher,
    threads: Vec<JoinHandle<()>>,
    publishing: tokio::task::JoinHandle<()>,
}

impl Writers {
    /// Starts `count` writers, with their publisher on the current Tokio runtime. They end when this is dropped and their
    /// queues are empty.
    pub fn start(
        count: u32,
        pg: &Pg,
        redis: &Arc<Redis>,
        waiters: &Arc<WaitRegistry>,
        metrics: &Arc<Metrics>,
        epoch: Epoch,
        hints: Option<Arc<IndexHints>>,
    ) -> std::io::Result<Self> {
        let (publisher, publishing) = Publisher::start(
            Arc::clone(redis),
            Arc::clone(waiters),
            Arc::clone(metrics),
            epoch,
        );
        let mut queues = Vec::new();
        let mut threads = Vec::new();
        for index in 0..count {
            let (queue, commands) = mpsc::channel(QUEUE);
            let runner = queue::Runner::new(
                commands,
                Handle::current(),
                pg.clone(),
                publisher.clone(),
                Arc::clone(metrics),
                hints.clone(),
            );
            let thread = std::thread::Builder::new().name(format!("writer-{index}"));
            threads.push(thread.spawn(move || runner.run())?);
            queues.push(queue);
        }
        Ok(Self {
            queues,
            publisher,
            threads,
            publishing,
        })
    }

    /// Queues a command, or refuses it if the queue is full.
    pub fn submit<R: Rule>(
        &self,
        conversation: ConversationId,
        user: UserId,
        rule: R,
    ) -> Result<Answer<R::Answer>, Error> {
        let (reply, answer) = channel();
        let command = Box::new(Queued {
            rule,
            at: CommandTarget { conversation, user },
            deadline: Instant::now() + DEADLINE,
            reply,
            answer: RefCell::default(),
        });
        // One writer per conversation, so that its commands keep their order.
        let count = self.queues.len() as u128;
        let shard = usize::try_from(conversation.0.as_u128() % count.max(1)).unwrap_or(0);
        let queue = self.queues.get(shard);
        queue
            .ok_or_else(|| Error::Internal("no writers".to_owned()))?
            .try_send(command)
            .map_err(|_full| Error::Overloaded(RETRY_AFTER))?;
        Ok(Answer(answer))
    }

    /// The number of queued commands of each writer.
    pub fn waiting(&self) -> impl Iterator<Item = usize> {
        self.queues
            .iter()
            .map(|queue| queue.max_capacity() - queue.capacity())
    }

    /// Whether a writer has panicked: the commands of its conversations would get no reply.
    pub fn has_panicked(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Publishes entries that another transaction has committed.
    pub fn publish(&self, entries: Vec<CommittedEntry>) {
        self.publisher.publish(entries, HashMap::new());
    }

    /// Stops the writers: queued commands are still executed, answered and published.
    pub async fn stop(self) {
        drop(self.queues);
        for thread in self.threads {
            // A writer ends when its queue is empty. While PostgreSQL hangs it does not end, and a join would block.
            while !thread.is_finished() {
                tokio::time::sleep(STOP_POLL).await;
            }
            if thread.join().is_err() {
                log::error!("bug: a writer has panicked");
            }
        }
        drop(self.publisher);
        if self.publishing.await.is_err() {
            log::error!("bug: the publisher has panicked");
        }
    }
}
