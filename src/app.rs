//! The handles of a process: everything that requests and tasks share.

use crate::config::Config;
use crate::domain::accounts::{Confirmed, Revoked};
use crate::domain::error::Error;
use crate::domain::heads::Heads;
use crate::domain::passwords::Passwords;
use crate::domain::service;
use crate::domain::tokens::Tokens;
use crate::domain::waiters::Waiters;
use crate::domain::writer::Writers;
use crate::model::ids::Epoch;
use crate::storage::error::StorageError;
use crate::storage::pg::{Pg, instance};
use crate::storage::redis::notices::{Heard, Notices};
use crate::storage::redis::{Redis, RedisUnavailable};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::sync::Notify;

/// The handles of a process.
pub struct App {
    /// What was set.
    pub config: Config,
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
    pub revoked: Revoked,
    /// The refresh generations whose first use was seen.
    pub confirmed: Confirmed,
    /// Looks up inbox heads.
    pub heads: Heads,
    /// The parked waits.
    pub waiters: Arc<Waiters>,
    /// The subscriptions to notices from other nodes.
    pub notices: Notices,
    /// They were lost: every wait has to look again.
    pub notices_lost: Arc<Notify>,
    /// The batching writers.
    pub writers: Writers,
    /// The node is going away.
    pub draining: AtomicBool,
}

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
    /// The cryptography of tokens or passwords.
    #[error("cannot make tokens or passwords: {0:?}")]
    Secrets(Error),
}

impl From<StorageError> for OpenError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Unavailable(_) => Self::Unreachable,
            StorageError::Contended(_) | StorageError::NoPartition | StorageError::Bug(_) => {
                Self::Storage(error)
            }
        }
    }
}

impl App {
    /// Opens everything, on the Tokio runtime that this is called on. PostgreSQL must answer; Redis need not.
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        let pg = Pg::connect(&config.database_url.0, config.db_pool, config.writers);
        let unfit = service::unfit(&pg).await?;
        if !unfit.is_empty() {
            return Err(OpenError::Unfit(unfit.join("; ")));
        }
        let redis = Arc::new(Redis::connect(&config.redis_url.0)?);
        let epoch = pg.read("epoch", instance::epoch).await?;
        let waiters = Arc::new(Waiters::default());
        let notices_lost = Arc::new(Notify::new());
        let hear = {
            let (waiters, lost) = (Arc::clone(&waiters), Arc::clone(&notices_lost));
            move |heard| match heard {
                Heard::News { user, seq, total } => drop(waiters.news(user, seq, total)),
                Heard::Lost => lost.notify_one(),
            }
        };
        let notices = Notices::connect(&config.redis_url.0, epoch, hear)?;
        let writers = Writers::start(config.writers, &pg, &redis, &waiters, epoch)?;
        Ok(Self {
            epoch,
            redis,
            tokens: Arc::new(
                Tokens::new(&config.jwt_secret.0, config.access_token)
                    .map_err(OpenError::Secrets)?,
            ),
            passwords: Passwords::new(config.workers).map_err(OpenError::Secrets)?,
            revoked: Revoked::default(),
            confirmed: Confirmed::default(),
            heads: Heads::start(pg.clone()),
            waiters,
            notices,
            notices_lost,
            writers,
            draining: AtomicBool::new(false),
            pg,
            config,
        })
    }
}
