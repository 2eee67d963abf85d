//! The handles of a process: everything that requests and tasks share.

use crate::clock::SharedClock;
use crate::config::Config;
use crate::engine::admission::rate_limits::RateLimits;
use crate::engine::auth::passwords::Passwords;
use crate::engine::auth::revocations::RevokedDevices;
use crate::engine::auth::tokens::Tokens;
use crate::engine::auth::used_generations::UsedGenerations;
use crate::engine::error::Error;
use crate::engine::reading::inbox_pages::{self, Pages};
use crate::engine::reading::unread_counts::{self, Recounts};
use crate::engine::waiting::diagnostic_slots::DiagnosticSlots;
use crate::engine::waiting::head_query::{self, Heads};
use crate::engine::waiting::registry::WaitRegistry;
use crate::engine::waiting::total_cache::UnreadTotalCache;
use crate::engine::writer::Writers;
use crate::model::ids::Epoch;
use crate::storage::error::StorageError;
use crate::storage::pg::operations::instance;
use crate::storage::pg::{DEADLINE, Pg};
use crate::storage::redis::client::Redis;
use crate::storage::redis::sync::notices::{Notices, Signal};
use crate::storage::redis::transport::server::RedisUnavailable;
use crate::telemetry::{Metrics, MetricsError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, Notify};

/// How the stores that a node depends on fared when it last looked.
pub struct Dependencies {
    /// When it looked.
    pub at: Instant,
    /// What keeps PostgreSQL from being served, in sentences.
    pub reasons: Vec<String>,
    /// Redis answered.
    pub redis: bool,
}

/// The handles of a process.
pub struct App {
    /// What was set.
    pub config: Config,
    /// What it counts and measures.
    pub metrics: Arc<Metrics>,
    /// This life of the database.
    pub epoch: Epoch,
    /// PostgreSQL.
    pub pg: Pg,
    /// Redis.
    pub redis: Arc<Redis>,
    /// Makes and checks tokens.
    pub tokens: Arc<Tokens>,
    /// Makes and checks password hashes.
    pub passwords: Passwords,
    /// The devices that are logged out.
    pub revoked: RevokedDevices,
    /// The refresh generations whose first use was seen.
    pub confirmed: UsedGenerations,
    /// The totals that waits were told.
    pub totals: UnreadTotalCache,
    /// Looks up inbox heads.
    pub heads: Heads,
    /// Counts what is unread in PostgreSQL.
    pub recounts: Recounts,
    /// Reads pages of inboxes.
    pub pages: Pages,
    /// How many connections of clients there may be.
    pub connections: usize,
    /// How many waits may park; the other connections are for those who have something to say.
    pub most_waits: usize,
    /// The rate limits.
    pub limits: RateLimits,
    /// The waits for nothing, by which a client finds out what cuts waits.
    pub diagnostics: DiagnosticSlots,
    /// The parked waits.
    pub waiters: Arc<WaitRegistry>,
    /// The subscriptions to notices from other nodes.
    pub notices: Notices,
    /// Some were lost: every wait has to look again.
    pub notices_lost: Arc<Notify>,
    /// The batching writers.
    pub writers: Writers,
    /// Until then there are inbox partitions without a gap, in seconds since 1970.
    pub partitions_until: AtomicI64,
    /// How the stores fared when readiness was last asked for.
    pub dependencies: Mutex<Option<Dependencies>>,
    /// The node is going away.
    pub draining: AtomicBool,
}

/// Files that are neither of clients nor connections to PostgreSQL: Redis, listeners, timers, the log.
const RESERVED_FILES: u64 = 64;

/// Why a process could not open what it needs.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// PostgreSQL does not answer; the door has logged why.
    #[error("cannot start: PostgreSQL does not answer at DATABASE_URL")]
    Unreachable,
    /// PostgreSQL answers with something unexpected.
    #[error("cannot start: {0}")]
    Storage(StorageError),
    /// What PostgreSQL acknowledges would not be safe, or its schema is not ours.
    #[error("PostgreSQL is not fit to keep messages: {0}")]
    Unfit(String),
    /// `REDIS_URL` cannot be used.
    #[error("REDIS_URL: {0}")]
    Redis(#[from] RedisUnavailable),
    /// No thread for a writer.
    #[error("cannot start a writer: {0}")]
    Writers(#[from] std::io::Error),
    /// A metric that cannot be.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The limit of open files.
    #[error("cannot learn or raise the limit of open files: {0}")]
    Files(std::io::Error),
    /// The cryptography of tokens or passwords.
    #[error("cannot make tokens or passwords: {0:?}")]
    Secrets(Error),
}

impl From<StorageError> for OpenError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Unavailable(_) | StorageError::Lost(_) | StorageError::Late => {
                Self::Unreachable
            }
            StorageError::ReadOnly(_)
            | StorageError::Contended(_)
            | StorageError::NoPartition
            | StorageError::Stored
            | StorageError::Busy
            | StorageError::Bug(_) => Self::Storage(error),
        }
    }
}

impl App {
    /// Opens everything for a node, on the Tokio runtime that this is called on. PostgreSQL must answer; Redis need not.
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        let ready = config.db_pool;
        Self::open_with(config, ready, Some(DEADLINE)).await
    }

    /// Opens everything for a command that soon ends, with no more connections than it needs: a process that ends while
    /// libpq makes one on another thread can crash, since it takes the cryptography down that the other is setting up.
    /// Nobody gives up an operator's command: its work has no deadline.
    pub async fn open_for_command(config: Config) -> Result<Self, OpenError> {
        Self::open_with(config, 0, None).await
    }

    async fn open_with(
        config: Config,
        ready: u32,
        deadline: Option<Duration>,
    ) -> Result<Self, OpenError> {
        let pg = Pg::connect(
            &config.database_url.0,
            config.db_pool,
            config.writers,
            ready,
            deadline,
        );
        let unfit = pg.read("fitness", instance::readiness_failures).await?;
        if !unfit.is_empty() {
            return Err(OpenError::Unfit(unfit.join("; ")));
        }
        // As many files as the system lets us open; nearly all are connections of clients.
        let files = rlimit::increase_nofile_limit(u64::MAX).map_err(OpenError::Files)?;
        let own = RESERVED_FILES + u64::from(config.db_pool);
        let connections = usize::try_from(files.saturating_sub(own))
            .unwrap_or(usize::MAX)
            .max(64);
        let metrics = Arc::new(Metrics::new()?);
        let redis = Arc::new(Redis::connect(&config.redis_url.0)?);
        let epoch = pg.read("epoch", instance::epoch).await?;
        let clock = SharedClock::showing(pg.read("clock", instance::clock).await?);
        let waiters = Arc::new(WaitRegistry::default());
        let notices_lost = Arc::new(Notify::new());
        let hear = {
            let (waiters, lost) = (Arc::clone(&waiters), Arc::clone(&notices_lost));
            move |heard| match heard {
                Signal::Inbox { user, seq, total } => {
                    waiters.news([(user, seq, total)]);
                }
                Signal::Conversation { conversation, seq } => {
                    waiters.moved(conversation, seq);
                }
                Signal::Subscribed(user) => waiters.swept.heard(user),
                Signal::Gap => lost.notify_one(),
            }
        };
        let notices = Notices::new(&redis, epoch, hear);
        let writers = Writers::start(config.writers, &pg, &redis, &waiters, &metrics, epoch)?;
        Ok(Self {
            metrics,
            epoch,
            tokens: Arc::new(
                Tokens::new(&config.jwt_secret.0, config.access_token, clock)
                    .map_err(OpenError::Secrets)?,
            ),
            passwords: Passwords::new(config.workers).map_err(OpenError::Secrets)?,
            revoked: RevokedDevices::default(),
            confirmed: UsedGenerations::default(),
            totals: UnreadTotalCache::default(),
            heads: head_query::start(&pg),
            // As many at a time as PostgreSQL has cores for: more, and each query is shared by fewer.
            recounts: unread_counts::start(&pg, config.writers),
            pages: inbox_pages::start(&pg, config.writers),
            connections,
            most_waits: connections - connections / 20,
            limits: RateLimits::new(config.rate_limit, Arc::clone(&redis), epoch),
            diagnostics: DiagnosticSlots::default(),
            waiters,
            notices,
            notices_lost,
            writers,
            partitions_until: AtomicI64::new(0),
            dependencies: Mutex::default(),
            draining: AtomicBool::new(false),
            pg,
            redis,
            config,
        })
    }
}
