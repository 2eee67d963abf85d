//! Tokens, passwords and revocations.

pub mod passwords;
pub mod revocations;
pub mod tokens;
pub mod used_generations;

use crate::config::Config;
use crate::engine::auth::passwords::Passwords;
use crate::engine::auth::revocations::RevokedDevices;
use crate::engine::auth::tokens::Tokens;
use crate::engine::auth::used_generations::UsedGenerations;
use crate::engine::waiting::registry::WaitRegistry;
use crate::storage::pg::Pg;
use std::sync::Arc;

/// The handle for accounts, devices and tokens.
pub struct Auth {
    /// The settings.
    pub config: Arc<Config>,
    /// PostgreSQL.
    pub pg: Pg,
    /// Makes and checks tokens.
    pub tokens: Arc<Tokens>,
    /// Makes and checks password hashes.
    pub passwords: Passwords,
    /// The devices that are logged out.
    pub revoked: RevokedDevices,
    /// The refresh generations whose first use is recorded.
    pub used_generations: UsedGenerations,
    /// The waits of this node: a logout ends those of the device.
    pub waiters: Arc<WaitRegistry>,
}
