//! Opens the handles of a process.

use crate::clock::{self, SharedClock};
use crate::config::Config;
use crate::engine::admission::Admission;
use crate::engine::admission::rate_limits::RateLimits;
use crate::engine::auth::Auth;
use crate::engine::auth::passwords::Passwords;
use crate::engine::auth::revocations::RevokedDevices;
use crate::engine::auth::tokens::Tokens;
use crate::engine::auth::used_generations::UsedGenerations;
use crate::engine::delivery::Delivery;
use crate::engine::error::Error;
use crate::engine::lifecycle::Lifecycle;
use crate::engine::media::MediaService;
use crate::engine::presence::OnlinePeople;
use crate::engine::reading::{inbox_pages, unread_counts};
use crate::engine::search::SearchService;
use crate::engine::search::hints::IndexHints;
use crate::engine::waiting::delivered::DeliveredPositions;
use crate::engine::waiting::head_query;
use crate::engine::waiting::registry::WaitRegistry;
use crate::engine::waiting::total_cache::UnreadTotalCache;
use crate::engine::writer::Writers;
use crate::model::ids::Epoch;
use crate::storage::error::StorageError;
use crate::storage::objects::Objects;
use crate::storage::pg::media::deletions;
use crate::storage::pg::operations::instance;
use crate::storage::pg::{DEADLINE, Pg};
use crate::storage::redis::client::Redis;
use crate::storage::redis::sync::channel::Channel;
use crate::storage::redis::sync::notices::{Notices, Signal};
use crate::storage::redis::transport::server::RedisUnavailable;
use crate::telemetry::{Metrics, MetricsError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// The handles of a process, each for an area; a function takes those that it uses.
#[derive(Clone)]
pub struct Handles {
    /// The settings.
    pub config: Arc<Config>,
    /// Accounts, devices, tokens.
    pub auth: Arc<Auth>,
    /// Conversations, messages, synchronization.
    pub delivery: Arc<Delivery>,
    /// Rate limits and load shedding.
    pub admission: Arc<Admission>,
    /// The node's own state.
    pub lifecycle: Arc<Lifecycle>,
    /// The maximum number of client connections.
    pub connections: usize,
}

/// Open files besides the connections of clients and to PostgreSQL: Redis, listeners, timers, the log.
const RESERVED_FILES: u64 = 64;

/// Errors at the start of a process.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// PostgreSQL does not answer. `Pg` has logged the reason.
    #[error("cannot start: PostgreSQL does not answer at DATABASE_URL")]
    Unreachable,
    /// PostgreSQL returned an unexpected error.
    #[error("cannot start: {0}")]
    Storage(StorageError),
    /// The settings of PostgreSQL would not keep acknowledged commits, or its schema is of another version.
    #[error("PostgreSQL is not fit to keep messages: {0}")]
    Unfit(String),
    /// `REDIS_URL` cannot be used.
    #[error("REDIS_URL: {0}")]
    Redis(#[from] RedisUnavailable),
    /// The thread of a writer could not be started.
    #[error("cannot start a writer: {0}")]
    Writers(#[from] std::io::Error),
    /// A metric is invalid.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The limit of open files cannot be read or raised.
    #[error("cannot read or raise the limit of open files: {0}")]
    Files(std::io::Error),
    /// The setup of tokens or passwords failed.
    #[error("cannot set up tokens or passwords: {0:?}")]
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

impl Handles {
    /// Opens the handles of a node, on the current Tokio runtime. PostgreSQL must answer, and Redis need not.
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        let ready = config.db_pool;
        Self::open_with(config, ready, Some(DEADLINE)).await
    }

    /// Opens the handles of a short command, with no more connections than it needs: a process that exits while libpq
    /// connects on another thread can crash, because the exit frees the state of OpenSSL that the thread is setting up. The
    /// operator waits for the command, so its queries have no deadline.
    pub async fn open_for_command(config: Config) -> Result<Self, OpenError> {
        Self::open_with(config, 0, None).await
    }

    async fn open_with(
        config: Config,
        ready: u32,
        deadline: Option<Duration>,
    ) -> Result<Self, OpenError> {
        let config = Arc::new(config);
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
        // As many open files as the system allows. Nearly all are client connections.
        let files = rlimit::increase_nofile_limit(u64::MAX).map_err(OpenError::Files)?;
        let own = RESERVED_FILES + u64::from(config.db_pool);
        let connections = usize::try_from(files.saturating_sub(own))
            .unwrap_or(usize::MAX)
            .max(64);
        let metrics = Arc::new(Metrics::new()?);
        let redis = Arc::new(Redis::connect(&config.redis_url.0)?);
        let epoch = pg.read("epoch", instance::epoch).await?;
        let clock = SharedClock::showing(pg.read("clock", instance::clock).await?);
        let secret = &config.jwt_secret.0;
        let (timings, default) = (config.presence_timings, config.privacy.presence);
        let presence = OnlinePeople::new(config.presence, timings, secret, default);
        let presence = presence.ok_or_else(|| {
            OpenError::Secrets(Error::Internal("the secret cannot be a key".to_owned()))
        })?;
        let waiters = Arc::new(WaitRegistry::new(presence));
        let notices_lost = Arc::new(Notify::new());
        let on_signal = {
            let (waiters, lost) = (Arc::clone(&waiters), Arc::clone(&notices_lost));
            move |signal| match signal {
                Signal::Inbox { user, seq, total } => {
                    waiters.wake_inbox([(user, seq, total)]);
                }
                Signal::Conversation {
                    conversation,
                    heads,
                } => {
                    waiters.wake_conversation(conversation, heads);
                }
                Signal::Reads {
                    conversation,
                    reader,
                } => waiters.reads.announced(conversation, reader),
                Signal::Typing {
                    conversation,
                    user,
                    is_typing,
                } => waiters.typing.receive(conversation, user, is_typing),
                Signal::Devices { node, changes } => match changes {
                    Some((version, changes)) => {
                        waiters.presence.receive(node, version, changes);
                    }
                    None => waiters.presence.replica.lose(node),
                },
                Signal::Subscribed(Channel::Inbox(user)) => {
                    waiters.head_cache.invalidate(user);
                    waiters.typing.forget_access(user);
                    waiters.presence.mine.reload(user);
                }
                Signal::Subscribed(Channel::Node(node)) => {
                    waiters.presence.replica.lose(node);
                }
                Signal::Subscribed(Channel::Watch(conversation)) => {
                    waiters.typing.subscribed(conversation);
                }
                Signal::Gap => lost.notify_one(),
            }
        };
        let tokens = Tokens::new(&config.jwt_secret.0, config.access_token, clock)
            .map_err(OpenError::Secrets)?;
        let media = open_media(&config, &pg, epoch).await?;
        let is_available = config.media.is_none() || media.is_some();
        metrics.media_available.set(i64::from(is_available));
        let auth = Auth {
            config: Arc::clone(&config),
            pg: pg.clone(),
            tokens: Arc::new(tokens),
            passwords: Passwords::new(config.workers).map_err(OpenError::Secrets)?,
            revoked: RevokedDevices::default(),
            used_generations: UsedGenerations::default(),
            waiters: Arc::clone(&waiters),
        };
        let admission = Admission {
            limits: RateLimits::new(config.rate_limit, Arc::clone(&redis), epoch),
            waits_per_address: config
                .rate_limit
                .map_or(u32::MAX, |_| config.waits_per_address),
            max_waits: connections - connections / 20,
            pg: pg.clone(),
            waiters: Arc::clone(&waiters),
        };
        let hints = config.search.then(Arc::<IndexHints>::default);
        let search = hints.as_ref().map(|hints| {
            let service = SearchService::new(secret, Arc::clone(hints));
            let service =
                service.ok_or_else(|| Error::Internal("the secret cannot be a key".to_owned()));
            service.map(Arc::new).map_err(OpenError::Secrets)
        });
        let delivery = Delivery {
            search: search.transpose()?,
            writers: Writers::start(
                config.writers,
                &pg,
                &redis,
                &waiters,
                &metrics,
                epoch,
                hints,
            )?,
            heads: head_query::start(&pg),
            delivered: DeliveredPositions::new(config.receipts),
            totals: UnreadTotalCache::default(),
            // One concurrent query for each core of PostgreSQL. With more, fewer callers would share a query.
            recounts: unread_counts::start(&pg, config.writers),
            pages: inbox_pages::start(&pg, config.writers, config.receipts),
            notices: Notices::new(&redis, epoch, on_signal),
            config: Arc::clone(&config),
            media,
            metrics,
            epoch,
            pg,
            redis,
            waiters,
            notices_lost,
        };
        Ok(Self {
            config,
            auth: Arc::new(auth),
            delivery: Arc::new(delivery),
            admission: Arc::new(admission),
            lifecycle: Arc::default(),
            connections,
        })
    }
}

/// The media store of this database. A node with another one, such as a directory of its own, keeps no media: half of the pictures would be
/// missing there.
async fn open_media(
    config: &Config,
    pg: &Pg,
    epoch: Epoch,
) -> Result<Option<Arc<MediaService>>, OpenError> {
    let Some(settings) = &config.media else {
        return Ok(None);
    };
    let failed = |why: &str| log::error!("media: this node keeps none: {why}");
    let mut objects = match Objects::open(settings) {
        Ok(objects) => objects,
        Err(error) => {
            failed(&error.to_string());
            return Ok(None);
        }
    };
    let known = pg.read("media_store", deletions::store_id).await?;
    let id = known.unwrap_or_else(clock::new_id);
    match objects.is_of(id, known.is_none()).await {
        Ok(true) => {}
        Ok(false) => {
            failed("TIDELINE_MEDIA_URL is not the store of this database");
            return Ok(None);
        }
        // It may be back when it is needed.
        Err(error) if known.is_some() => log::warn!("{error}"),
        Err(error) => {
            failed(&error.to_string());
            return Ok(None);
        }
    }
    if known.is_none() {
        let claim = move |conn: &mut _| deletions::claim_store(conn, id).map(Ok::<_, Error>);
        let claimed = pg.transaction("media_store", claim).await?;
        // A node that starts at the same time was first: its store may be the same.
        let is_same = match claimed.map_err(OpenError::Secrets)? {
            Some(first) if first != id => objects.is_of(first, false).await.unwrap_or(false),
            first => first.is_some(),
        };
        if !is_same {
            failed("another node has just chosen another store");
            return Ok(None);
        }
    }
    let program = config.decoder.clone();
    let secret = &config.jwt_secret.0;
    let service = MediaService::new(settings.clone(), objects, program, secret, epoch);
    let service = service.ok_or_else(|| {
        OpenError::Secrets(Error::Internal("the secret cannot be a key".to_owned()))
    })?;
    Ok(Some(Arc::new(service)))
}
