//! Looking up inbox heads, many at once.
//!
//! Every wait looks at its head when it begins and when it ends. One query each would be the main load of a server with
//! many idle clients, so the looks that come in while a query runs share the next one. No timer: a look that finds
//! nothing running starts at once.

use crate::domain::error::Error;
use crate::model::ids::{InboxSeq, UserId};
use crate::storage::pg::{DEADLINE, Pg, inbox};
use tokio::sync::{mpsc, oneshot};

/// The most heads one query asks for.
const BATCH: usize = 2_000;

/// How many looks may wait: more than that, and new ones are refused.
const QUEUE: usize = 20_000;

/// How long a refused client should stay away.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(1);

type Look = (UserId, oneshot::Sender<Result<InboxSeq, Error>>);

/// Looks up inbox heads in PostgreSQL.
pub struct Heads {
    queue: mpsc::Sender<Look>,
}

impl Heads {
    /// Starts the look-up on the Tokio runtime that this is called on; it ends with the last handle.
    pub fn start(pg: Pg) -> Self {
        let (queue, looks) = mpsc::channel(QUEUE);
        tokio::spawn(run(pg, looks));
        Self { queue }
    }

    /// The head of a user's inbox: 0 when nothing was ever in it.
    pub async fn of(&self, user: UserId) -> Result<InboxSeq, Error> {
        let (answer, answered) = oneshot::channel();
        self.queue
            .try_send((user, answer))
            .map_err(|_full| Error::Overloaded(RETRY_AFTER))?;
        // A look that comes while a query hangs would wait for that one and for its own.
        match tokio::time::timeout(DEADLINE, answered).await {
            Ok(Ok(head)) => head,
            Ok(Err(_)) | Err(_) => Err(Error::StorageUnavailable),
        }
    }
}

async fn run(pg: Pg, mut looks: mpsc::Receiver<Look>) {
    let mut batch = Vec::with_capacity(BATCH);
    while looks.recv_many(&mut batch, BATCH).await > 0 {
        // Clients that went away meanwhile need no answer.
        batch.retain(|(_, answer): &Look| !answer.is_closed());
        let users: Vec<_> = batch.iter().map(|(user, _)| *user).collect();
        let heads = pg
            .read("heads", move |conn| inbox::heads(conn, &users))
            .await;
        for (user, answer) in batch.drain(..) {
            let head = match &heads {
                Ok(heads) => Ok(heads.get(&user).copied().unwrap_or_default()),
                Err(_) => Err(Error::StorageUnavailable),
            };
            let _gone = answer.send(head);
        }
    }
}
