//! Argon2id, on few threads: a hash takes tens of milliseconds of a core and 19 MiB, so a crowd that logs in at once
//! must not take the server with it.

use crate::domain::error::Error;
use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// How long a log-in may wait for its turn.
const TURN: Duration = Duration::from_secs(3);

/// Hashes and checks passwords.
pub struct Passwords {
    turns: Arc<Semaphore>,
    blocking: Handle,
    /// The hash of nobody's password, checked for unknown users, so that they take as long as known ones.
    decoy: String,
}

fn hash(password: &str) -> Result<String, Error> {
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|error| Error::Internal(error.to_string()))?;
    Ok(hash.to_string())
}

impl Passwords {
    /// At most `threads` hashes at a time, on the Tokio runtime that this is called on.
    pub fn new(threads: usize) -> Result<Self, Error> {
        Ok(Self {
            turns: Arc::new(Semaphore::new(threads)),
            blocking: Handle::current(),
            decoy: hash("nobody")?,
        })
    }

    /// The hash to store.
    pub async fn hash(&self, password: String) -> Result<String, Error> {
        self.run(move || hash(&password)).await
    }

    /// Whether the password is the one of this hash; an unknown user has none.
    pub async fn check(&self, password: String, stored: Option<String>) -> Result<bool, Error> {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.decoy.clone());
        self.run(move || {
            // What is not a hash ("!" for accounts without a password) fits no password.
            Ok(PasswordHash::new(&stored).is_ok_and(|hash| {
                Argon2::default()
                    .verify_password(password.as_bytes(), &hash)
                    .is_ok()
            }) && known)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let turn = tokio::time::timeout(TURN, Arc::clone(&self.turns).acquire_owned())
            .await
            .map_err(|_elapsed| Error::Overloaded(TURN))?
            .map_err(|closed| Error::Internal(closed.to_string()))?;
        self.blocking
            .spawn_blocking(move || {
                let _turn = turn;
                work()
            })
            .await
            .unwrap_or_else(|panic| Err(Error::Internal(panic.to_string())))
    }
}
