//! Combines queries: those of one kind that arrive while one runs share the next.
//!
//! A statement for each request would be the main load of a node with many clients: its transaction, and the way to a thread
//! and back, cost more than reading the row. There is no timer: a query that arrives while none runs starts immediately.

use crate::engine::batching::reply::{ReplySender, channel, send_all};
use crate::engine::error::Error;
use crate::storage::error::StorageResult;
use crate::storage::pg::{Connection, DEADLINE, Pg};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};

/// When a refused client may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How queries of one kind are batched.
#[derive(Clone, Copy)]
pub struct BatchConfig {
    /// The name in the log.
    pub name: &'static str,
    /// The maximum number of queries in a batch.
    pub batch: usize,
    /// The maximum number of batches that run at a time.
    pub concurrency: u32,
    /// The maximum number of queued queries. Further ones are refused.
    pub queue: usize,
}

struct Pending<Q, A> {
    query: Q,
    reply: ReplySender<Result<A, Error>>,
}

/// Batches queries of one kind.
pub struct QueryBatcher<Q, A> {
    queue: mpsc::Sender<Pending<Q, A>>,
}

impl<Q, A> QueryBatcher<Q, A>
where
    Q: Send + Sync + 'static,
    A: Send + 'static,
{
    /// Starts the batcher on the current Tokio runtime. It ends when its last handle is dropped. `execute` returns the
    /// result of each query, in their order.
    pub fn start(
        pg: &Pg,
        config: BatchConfig,
        execute: impl Fn(&mut Connection, &[Q]) -> StorageResult<Vec<A>> + Copy + Send + 'static,
    ) -> Self {
        let (queue, pending) = mpsc::channel(config.queue);
        let pending = Arc::new(Mutex::new(pending));
        for _ in 0..config.concurrency.max(1) {
            tokio::spawn(run(pg.clone(), config, execute, Arc::clone(&pending)));
        }
        Self { queue }
    }

    /// Queues a query, and returns its result.
    pub async fn submit(&self, query: Q) -> Result<A, Error> {
        let (reply, result) = channel();
        let pending = Pending { query, reply };
        self.queue
            .try_send(pending)
            .map_err(|_full| Error::Overloaded(RETRY_AFTER))?;
        // Without this time-out, a query that is queued behind a hanging batch would wait for two deadlines.
        match tokio::time::timeout(DEADLINE, result).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(Error::StorageUnavailable),
        }
    }
}

async fn run<Q, A>(
    pg: Pg,
    config: BatchConfig,
    execute: impl Fn(&mut Connection, &[Q]) -> StorageResult<Vec<A>> + Copy + Send + 'static,
    queue: Arc<Mutex<mpsc::Receiver<Pending<Q, A>>>>,
) where
    Q: Send + Sync + 'static,
    A: Send + 'static,
{
    let mut pending = Vec::with_capacity(config.batch);
    while queue
        .lock()
        .await
        .recv_many(&mut pending, config.batch)
        .await
        > 0
    {
        // Clients that have disconnected need no result.
        pending.retain(|one: &Pending<Q, A>| !one.reply.is_closed());
        let (queries, replies): (Vec<_>, Vec<_>) =
            pending.drain(..).map(|one| (one.query, one.reply)).unzip();
        if queries.is_empty() {
            continue;
        }
        let results = pg.read(config.name, move |conn| execute(conn, &queries));
        match results.await {
            Ok(results) => {
                let replies = replies.into_iter().zip(results);
                send_all(replies.map(|(reply, result)| reply.ready(Ok(result))));
            }
            Err(error) => {
                let error = Error::from(error);
                send_all(
                    replies
                        .into_iter()
                        .map(|reply| reply.ready(Err(error.clone()))),
                );
            }
        }
    }
}
