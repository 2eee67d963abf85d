//! Questions to PostgreSQL that share a query.
//!
//! One query for each question would be the main load of a server with many clients: beginning and ending it, and handing it
//! to a thread and back, costs more than what it finds. So the questions that come in while a query runs share the next
//! one. No timer: a question that finds nothing running is asked at once.

use crate::engine::batching::reply::{ReplySender, channel, send_all};
use crate::engine::error::Error;
use crate::storage::error::StorageResult;
use crate::storage::pg::{Connection, DEADLINE, Pg};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};

/// How long a refused client should stay away.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How questions of a kind share queries.
#[derive(Clone, Copy)]
pub struct BatchConfig {
    /// What they are called in the log.
    pub name: &'static str,
    /// The most questions of one query.
    pub batch: usize,
    /// How many queries run at a time.
    pub concurrency: u32,
    /// How many questions may wait: more than that, and new ones are refused.
    pub queue: usize,
}

struct Asked<Q, A> {
    question: Q,
    answer: ReplySender<Result<A, Error>>,
}

/// Questions of a kind.
pub struct QueryBatcher<Q, A> {
    queue: mpsc::Sender<Asked<Q, A>>,
}

impl<Q, A> QueryBatcher<Q, A>
where
    Q: Send + Sync + 'static,
    A: Send + 'static,
{
    /// Starts asking on the Tokio runtime that this is called on; it ends with the last handle. `ask` answers each question,
    /// in their order, on a connection.
    pub fn start(
        pg: &Pg,
        manner: BatchConfig,
        ask: fn(&mut Connection, &[Q]) -> StorageResult<Vec<A>>,
    ) -> Self {
        let (queue, asked) = mpsc::channel(manner.queue);
        let asked = Arc::new(Mutex::new(asked));
        for _ in 0..manner.concurrency.max(1) {
            tokio::spawn(run(pg.clone(), manner, ask, Arc::clone(&asked)));
        }
        Self { queue }
    }

    /// The answer to a question.
    pub async fn ask(&self, question: Q) -> Result<A, Error> {
        let (answer, answered) = channel();
        let asked = Asked { question, answer };
        self.queue
            .try_send(asked)
            .map_err(|_full| Error::Overloaded(RETRY_AFTER))?;
        // A question that comes while a query hangs would wait for that one and for its own.
        match tokio::time::timeout(DEADLINE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(Error::StorageUnavailable),
        }
    }
}

async fn run<Q, A>(
    pg: Pg,
    manner: BatchConfig,
    ask: fn(&mut Connection, &[Q]) -> StorageResult<Vec<A>>,
    queue: Arc<Mutex<mpsc::Receiver<Asked<Q, A>>>>,
) where
    Q: Send + Sync + 'static,
    A: Send + 'static,
{
    let mut asked = Vec::with_capacity(manner.batch);
    while queue.lock().await.recv_many(&mut asked, manner.batch).await > 0 {
        // Clients that went away meanwhile need no answer.
        asked.retain(|one: &Asked<Q, A>| !one.answer.is_closed());
        let (questions, answers): (Vec<_>, Vec<_>) = asked
            .drain(..)
            .map(|one| (one.question, one.answer))
            .unzip();
        if questions.is_empty() {
            continue;
        }
        let found = pg.read(manner.name, move |conn| ask(conn, &questions));
        match found.await {
            Ok(found) => {
                let answered = answers.into_iter().zip(found);
                send_all(answered.map(|(answer, found)| answer.ready(Ok(found))));
            }
            Err(error) => {
                let error = Error::from(error);
                send_all(
                    answers
                        .into_iter()
                        .map(|answer| answer.ready(Err(error.clone()))),
                );
            }
        }
    }
}
