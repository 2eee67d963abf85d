//! How many searches a node runs: they are refused before anything else.

use crate::engine::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The searches that run at a time, each on its connection.
const RUNNING: usize = 2;

/// The searches that wait for their turn, and how long.
const WAITING: usize = 32;
const PATIENCE: Duration = Duration::from_millis(500);

/// When a refused client may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Lets few searches run at a time.
pub struct SearchGate {
    running: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Default for SearchGate {
    fn default() -> Self {
        Self {
            running: Arc::new(Semaphore::new(RUNNING)),
            waiting: Semaphore::new(WAITING),
        }
    }
}

impl SearchGate {
    /// Waits for the turn of a search, which lasts until the permit is dropped.
    pub async fn enter(&self) -> Result<OwnedSemaphorePermit, Error> {
        let overloaded = Error::Overloaded(RETRY_AFTER);
        let Ok(_place) = self.waiting.try_acquire() else {
            return Err(overloaded);
        };
        match timeout(PATIENCE, Arc::clone(&self.running).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(overloaded),
        }
    }
}
