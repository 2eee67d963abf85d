//! The data-access layer: the only way to PostgreSQL and to blocking work.
//!
//! Requests use [`Pg::read`] and [`Pg::transaction`]. They wait at the connection limiter, so that no more threads block
//! than there are connections, and run on a blocking thread. They are given up after [`DEADLINE`]: libpq has no query
//! timeout, and a stopped server would hold a request without end. A transaction that was given up is not committed later,
//! since its caller may have asked for the opposite meanwhile. Each writer owns a [`DbSession`].

use crate::storage::error::{StorageError, StorageResult};
use crate::storage::pg::pool::Manager;
use crate::storage::pg::sync::partitions;
use diesel::connection::{AnsiTransactionManager, SimpleConnection as _, TransactionManager as _};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// How long a caller waits for PostgreSQL before it gets "unavailable".
pub const DEADLINE: Duration = Duration::from_secs(4);

/// How long a blocking thread waits for a free or a new connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);

/// The most callers that wait at the connection limiter. A caller uses one of about ten connections for well under 1 ms, so
/// this is a wait of less than 1 s. When PostgreSQL hangs, at most so many requests hang with it.
pub const WAITING: usize = 4_096;

/// Work that takes longer than this is logged.
const SLOW_AFTER: Duration = Duration::from_millis(500);

/// How often a contended transaction is tried.
const MAX_ATTEMPTS: u32 = 5;

/// A connection, as the functions of the areas take it.
pub type Connection = diesel::pg::PgConnection;

/// PostgreSQL.
#[derive(Clone)]
pub struct Pg {
    pool: r2d2::Pool<Manager>,
    manager: Manager,
    limiter: Arc<Semaphore>,
    permits: u32,
    deadline: Option<Duration>,
    waiting: Arc<AtomicUsize>,
    blocking: Handle,
}

/// How busy the connections are.
pub struct Usage {
    /// In use, the writers' included.
    pub in_use: u32,
    /// The most there may be.
    pub max: u32,
    /// Callers that wait at the connection limiter.
    pub waiting: usize,
}

/// A caller that waits at the connection limiter, counted until it is dropped.
pub struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn count(pg: &Pg) -> Self {
        pg.waiting.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&pg.waiting))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that its owner, a writer, keeps.
pub struct DbSession {
    conn: r2d2::PooledConnection<Manager>,
    manager: Manager,
    /// The last commit has begun the next transaction (`COMMIT AND CHAIN`).
    chained: bool,
}

/// Why a transaction did not end with a known result.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Failure {
    /// What went wrong.
    pub error: StorageError,
    /// The commit failed and its outcome is unknown: only work that is safe to repeat may be repeated.
    pub outcome_unknown: bool,
}

impl Pg {
    /// Opens a pool of at most `size` connections, of which `writers` are reserved for sessions. `ready` connections are
    /// made immediately, the others on demand. Does not wait for PostgreSQL. Blocking work runs on the Tokio runtime of the
    /// caller, and is given up after the `deadline`, if there is one.
    pub fn connect(
        url: &str,
        size: u32,
        writers: u32,
        ready: u32,
        deadline: Option<Duration>,
    ) -> Self {
        let manager = Manager::new(url);
        let pool = r2d2::Pool::builder()
            .max_size(size)
            .min_idle(Some(ready))
            .connection_timeout(CONNECT_TIMEOUT)
            // The default logs each attempt to connect; `run_blocking` logs the result.
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .build_unchecked(manager.clone());
        let permits = size.saturating_sub(writers).max(1);
        Self {
            pool,
            manager,
            limiter: Arc::new(Semaphore::new(usize::try_from(permits).unwrap_or(1))),
            permits,
            deadline,
            waiting: Arc::default(),
            blocking: Handle::current(),
        }
    }

    /// Runs reads, or one statement that may be repeated, on a connection.
    pub async fn read<T, F>(&self, name: &'static str, work: F) -> StorageResult<T>
    where
        T: Send + 'static,
        F: Fn(&mut Connection) -> StorageResult<T> + Send + 'static,
    {
        self.run_blocking(name, move |pg, until| {
            let once = |pg: &Self| pg.session()?.read(&work);
            match once(&pg) {
                // The server may have restarted: an idle connection is dead, and a new one works.
                Err(error) if error.is_away() && !has_passed(until) => once(&pg),
                result => result,
            }
        })
        .await
    }

    /// Runs a transaction. The closure may run more than once; `Ok(Err(refusal))` rolls back. After the deadline no commit
    /// begins.
    pub async fn transaction<T, E, F>(
        &self,
        name: &'static str,
        work: F,
    ) -> StorageResult<Result<T, E>>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: Fn(&mut Connection) -> StorageResult<Result<T, E>> + Send + 'static,
    {
        self.run_blocking(name, move |pg, until| {
            let mut attempts = 0;
            loop {
                if has_passed(until) {
                    return Err(StorageError::Late);
                }
                attempts += 1;
                // Returns its connection before the next one is taken: the pool may have only one.
                let done = pg.session()?.transaction(&work, until, || false);
                match done {
                    Ok(result) => return Ok(result),
                    Err(failure) if failure.outcome_unknown || attempts == MAX_ATTEMPTS => {
                        return Err(failure.error);
                    }
                    Err(Failure { error, .. }) => match error {
                        StorageError::Contended(_) => {}
                        StorageError::NoPartition if attempts == 1 => {
                            pg.session()?.read(partitions::make)?;
                        }
                        error if error.is_away() && attempts == 1 => {}
                        error => return Err(error),
                    },
                }
            }
        })
        .await
    }

    /// Returns when no work is in progress except that of sessions.
    pub async fn idle(&self) {
        let _all = self.limiter.acquire_many(self.permits).await;
    }

    /// Counts a caller that waits for a shared query as one that waits at the connection limiter.
    pub fn count_as_waiting(&self) -> Waiting {
        Waiting::count(self)
    }

    /// How busy the connections are now.
    pub fn usage(&self) -> Usage {
        let state = self.pool.state();
        Usage {
            in_use: state.connections.saturating_sub(state.idle_connections),
            max: self.pool.max_size(),
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }

    /// Takes a connection. Blocks; for writer threads.
    pub fn session(&self) -> StorageResult<DbSession> {
        let conn = self.pool.get().map_err(|error| {
            // libpq's message has several lines; a log entry has one.
            let text = error.to_string();
            let words: Vec<_> = text.split_whitespace().collect();
            StorageError::Unavailable(words.join(" "))
        })?;
        Ok(DbSession {
            conn,
            manager: self.manager.clone(),
            chained: false,
        })
    }

    async fn run_blocking<T, F>(&self, name: &'static str, work: F) -> StorageResult<T>
    where
        T: Send + 'static,
        F: FnOnce(Self, Option<Instant>) -> StorageResult<T> + Send + 'static,
    {
        if self.waiting.load(Ordering::Relaxed) >= WAITING {
            return Err(StorageError::Busy);
        }
        let started = Instant::now();
        let until = self.deadline.map(|deadline| started + deadline);
        let permitted = async {
            let waiting = Waiting::count(self);
            let permit = Arc::clone(&self.limiter)
                .acquire_owned()
                .await
                .map_err(|closed| StorageError::Unavailable(closed.to_string()))?;
            drop(waiting);
            let pg = self.clone();
            self.blocking
                .spawn_blocking(move || {
                    let _permit = permit;
                    work(pg, until)
                })
                .await
                .unwrap_or_else(|ended| match ended.is_cancelled() {
                    // Not begun when the process ended.
                    true => Err(StorageError::Unavailable(ended.to_string())),
                    false => Err(StorageError::Bug(format!("{name}: {ended}"))),
                })
        };
        let result = match until {
            Some(until) => tokio::time::timeout_at(until.into(), permitted)
                .await
                .unwrap_or(Err(StorageError::Late)),
            None => permitted.await,
        };
        let took = started.elapsed();
        match &result {
            Err(error) => log::warn!("postgres {name}: {error} after {took:?}"),
            Ok(_) if took > SLOW_AFTER => log::warn!("postgres {name}: slow, {took:?}"),
            Ok(_) => {}
        }
        result
    }
}

fn has_passed(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() >= until)
}

impl DbSession {
    /// Runs reads, or one statement.
    pub fn read<T>(
        &mut self,
        work: impl Fn(&mut Connection) -> StorageResult<T>,
    ) -> StorageResult<T> {
        let result = work(&mut self.conn.pg);
        self.note_error(result.as_ref().err());
        result
    }

    /// Runs one transaction, once. `Ok(Err(refusal))` rolls back, and so does a commit that would begin after `until`. If
    /// `more` returns true, the commit also begins the next transaction (decision 0018).
    pub fn transaction<T, E>(
        &mut self,
        work: impl Fn(&mut Connection) -> StorageResult<Result<T, E>>,
        until: Option<Instant>,
        more: impl Fn() -> bool,
    ) -> Result<Result<T, E>, Failure> {
        let mut worked = false;
        let result = self.begin().and_then(|()| {
            let result = work(&mut self.conn.pg)?;
            if result.is_ok() && has_passed(until) {
                return Err(StorageError::Late);
            }
            worked = result.is_ok();
            match worked {
                true => self.commit(more())?,
                false => AnsiTransactionManager::rollback_transaction(&mut self.conn.pg)?,
            }
            Ok(result)
        });
        result.map_err(|error| {
            // Fails on a lost connection or an ended transaction, where no rollback is needed.
            let _ended = AnsiTransactionManager::rollback_transaction(&mut self.conn.pg);
            self.note_error(Some(&error));
            // The outcome of a failed COMMIT is unknown, except after an error that proves a rollback.
            let outcome_unknown = worked && !matches!(error, StorageError::Contended(_));
            Failure {
                error,
                outcome_unknown,
            }
        })
    }

    /// Rolls back the transaction that the last commit began, if no work came for it.
    pub fn abort_chained(&mut self) {
        if mem::take(&mut self.chained)
            && let Err(error) = AnsiTransactionManager::rollback_transaction(&mut self.conn.pg)
        {
            self.note_error(Some(&error.into()));
        }
    }

    fn begin(&mut self) -> StorageResult<()> {
        if !mem::take(&mut self.chained) {
            AnsiTransactionManager::begin_transaction(&mut self.conn.pg)?;
        }
        Ok(())
    }

    fn commit(&mut self, more: bool) -> StorageResult<()> {
        match more {
            true => self.conn.pg.batch_execute("COMMIT AND CHAIN")?,
            false => AnsiTransactionManager::commit_transaction(&mut self.conn.pg)?,
        }
        self.chained = more;
        Ok(())
    }

    fn note_error(&mut self, error: Option<&StorageError>) {
        match error {
            Some(StorageError::Lost(_)) => self.manager.lost(&self.conn),
            Some(StorageError::ReadOnly(_)) => self.manager.read_only(&self.conn),
            Some(_) | None => {}
        }
    }
}
