//! Redis: fast copies of what PostgreSQL knows. It may be slow, empty or gone at any moment: every command has a short
//! time-out, and after a few failures in a row no command is even tried for a moment (the circuit breaker), so that a
//! stopped Redis costs nobody time. A miss always means *unknown*, never zero.

pub mod notices;
pub mod unread;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError, RedisResult};
use std::future::Future;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// How long a command may take.
const RESPONSE: Duration = Duration::from_millis(200);

/// So many failures in a row open the circuit …
const FAILURES: u32 = 3;

/// … for so long.
const OPEN: Duration = Duration::from_millis(1_000);

/// Redis did not answer, or not in time.
#[derive(Debug, thiserror::Error)]
pub enum RedisUnavailable {
    /// The circuit is open: not even tried.
    #[error("Redis failed a moment ago")]
    Open,
    /// It was tried.
    #[error("Redis: {0}")]
    Failed(#[from] RedisError),
}

#[derive(Default)]
struct Circuit {
    failures: u32,
    open_until: Option<Instant>,
}

/// Redis.
pub struct Redis {
    manager: ConnectionManager,
    circuit: Mutex<Circuit>,
}

impl Redis {
    /// Prepares a connection; it is made when first used, and again whenever it was lost. Runs on the Tokio runtime
    /// that this is called on.
    pub fn connect(url: &str) -> Result<Self, RedisUnavailable> {
        Self::connect_with(url, ConnectionManagerConfig::new().set_number_of_retries(1))
    }

    fn connect_with(url: &str, config: ConnectionManagerConfig) -> Result<Self, RedisUnavailable> {
        let config = config
            .set_response_timeout(Some(RESPONSE))
            .set_connection_timeout(Some(RESPONSE))
            .set_max_delay(OPEN);
        Ok(Self {
            manager: ConnectionManager::new_lazy_with_config(Client::open(url)?, config)?,
            circuit: Mutex::default(),
        })
    }

    /// Whether it answers now.
    pub async fn ping(&self) -> bool {
        let ping = |mut manager: ConnectionManager| async move {
            redis::cmd("PING").query_async::<String>(&mut manager).await
        };
        self.run(ping).await.is_ok()
    }

    async fn run<T, F, R>(&self, command: F) -> Result<T, RedisUnavailable>
    where
        F: FnOnce(ConnectionManager) -> R,
        R: Future<Output = RedisResult<T>>,
    {
        if self
            .circuit()
            .open_until
            .is_some_and(|until| Instant::now() < until)
        {
            return Err(RedisUnavailable::Open);
        }
        // The time-outs of the connection cover one attempt; this one covers connecting and repeating as well.
        let result = tokio::time::timeout(2 * RESPONSE, command(self.manager.clone()))
            .await
            .unwrap_or_else(|elapsed| Err(std::io::Error::other(elapsed).into()));
        let mut circuit = self.circuit();
        match &result {
            Ok(_) => *circuit = Circuit::default(),
            Err(error) => {
                circuit.failures += 1;
                if circuit.failures >= FAILURES {
                    circuit.open_until = Some(Instant::now() + OPEN);
                }
                log::warn!("redis: {error} ({} in a row)", circuit.failures);
            }
        }
        Ok(result?)
    }

    fn circuit(&self) -> std::sync::MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
