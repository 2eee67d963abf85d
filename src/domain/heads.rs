//! Looking up inbox heads, many at once.
//!
//! Every wait looks at its head when it begins and when it ends. One query each would be the main load of a server with
//! many idle clients, so the looks that come in while a query runs share the next one. No timer: a look that finds
//! nothing running starts at once.

use crate::domain::error::Error;
use crate::model::ids::{ConvSeq, ConversationId, InboxSeq, UserId};
use crate::storage::pg::{DEADLINE, Pg, inbox, watched};
use std::collections::HashMap;
use tokio::sync::{mpsc, oneshot};

/// The most heads one query asks for.
const BATCH: usize = 2_000;

/// How many looks may wait: more than that, and new ones are refused.
const QUEUE: usize = 20_000;

/// How long a refused client should stay away.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(1);

/// What a look finds.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The head of the inbox; 0 when nothing was ever in it.
    pub head: InboxSeq,
    /// What is unread in large conversations; nothing when there are none.
    pub large_unread: Option<i64>,
    /// The heads of those watched conversations that the user is in.
    pub watched: Vec<(ConversationId, ConvSeq)>,
}

struct Look {
    user: UserId,
    watch: Vec<ConversationId>,
    answer: oneshot::Sender<Result<Seen, Error>>,
}

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

    /// The head of a user's inbox, what is unread in large conversations, and the heads of watched ones.
    pub async fn look(&self, user: UserId, watch: Vec<ConversationId>) -> Result<Seen, Error> {
        let (answer, answered) = oneshot::channel();
        let look = Look {
            user,
            watch,
            answer,
        };
        self.queue
            .try_send(look)
            .map_err(|_full| Error::Overloaded(RETRY_AFTER))?;
        // A look that comes while a query hangs would wait for that one and for its own.
        match tokio::time::timeout(DEADLINE, answered).await {
            Ok(Ok(seen)) => seen,
            Ok(Err(_)) | Err(_) => Err(Error::StorageUnavailable),
        }
    }
}

async fn run(pg: Pg, mut looks: mpsc::Receiver<Look>) {
    let mut batch = Vec::with_capacity(BATCH);
    while looks.recv_many(&mut batch, BATCH).await > 0 {
        // Clients that went away meanwhile need no answer.
        batch.retain(|look: &Look| !look.answer.is_closed());
        let users: Vec<_> = batch.iter().map(|look| look.user).collect();
        let pairs = |look: &Look| {
            let user = look.user;
            let watch = look.watch.clone();
            watch.into_iter().map(move |id| (user, id))
        };
        let mut pairs: Vec<_> = batch.iter().flat_map(pairs).collect();
        pairs.sort_unstable();
        pairs.dedup();
        let seen = pg
            .read("heads", move |conn| {
                let heads = inbox::heads(conn, &users)?;
                let watched = match pairs.as_slice() {
                    [] => Vec::new(),
                    pairs => watched::by_members(conn, pairs)?,
                };
                Ok((heads, watched))
            })
            .await;
        let seen = seen.map(|(heads, watched)| {
            let watched = watched.into_iter();
            let watched = watched.map(|one| ((one.user_id, one.conversation_id), one.last_seq));
            (heads, watched.collect::<HashMap<_, _>>())
        });
        for look in batch.drain(..) {
            let found = match &seen {
                Ok((heads, watched)) => {
                    let head = heads.get(&look.user).copied().unwrap_or_default();
                    let seq = |id: ConversationId| Some((id, *watched.get(&(look.user, id))?));
                    Ok(Seen {
                        head: head.seq,
                        large_unread: head.large_unread,
                        watched: look.watch.into_iter().filter_map(seq).collect(),
                    })
                }
                Err(_) => Err(Error::StorageUnavailable),
            };
            let _gone = look.answer.send(found);
        }
    }
}
