//! The handles of a process: everything that requests and tasks share.

use crate::config::Config;
use crate::domain::accounts::{Confirmed, Revoked};
use crate::domain::error::Error;
use crate::domain::heads::Heads;
use crate::domain::passwords::Passwords;
use crate::domain::tokens::Tokens;
use crate::domain::waiters::Waiters;
use crate::domain::writer::Writers;
use crate::model::ids::Epoch;
use crate::storage::pg::{Pg, instance};
use crate::storage::redis::Redis;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

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
    /// The batching writers.
    pub writers: Writers,
    /// The node is going away.
    pub draining: AtomicBool,
}

impl App {
    /// Opens everything, on the Tokio runtime that this is called on. PostgreSQL must answer; Redis need not.
    pub async fn open(config: Config) -> Result<Self, Error> {
        let internal = |what: &dyn std::fmt::Display| Error::Internal(what.to_string());
        let pg = Pg::connect(&config.database_url.0, config.db_pool, config.writers);
        let redis = Arc::new(Redis::connect(&config.redis_url.0).map_err(|e| internal(&e))?);
        let epoch = pg.read("epoch", instance::epoch).await?;
        let waiters = Arc::new(Waiters::default());
        let writers = Writers::start(
            config.writers,
            &pg,
            &redis,
            &waiters,
            epoch,
            config.inbox_retention_days,
        )
        .map_err(|error| internal(&error))?;
        Ok(Self {
            epoch,
            redis,
            tokens: Arc::new(Tokens::new(&config.jwt_secret.0, config.access_token)?),
            passwords: Passwords::new(config.workers)?,
            revoked: Revoked::default(),
            confirmed: Confirmed::default(),
            heads: Heads::start(pg.clone()),
            waiters,
            writers,
            draining: AtomicBool::new(false),
            pg,
            config,
        })
    }
}
