//! One Redis server: a connection that is re-established after a loss, a timeout for every command, and a circuit breaker.
//!
//! `ConnectionManager` of the redis crate (1.8) is not used: it may replace a new connection, and lose its subscriptions, without
//! a push (docs/UPSTREAM.md).

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, PushInfo, PushKind,
    RedisError, RedisResult, ServerErrorKind,
};
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Redis did not answer in time.
#[derive(Debug, thiserror::Error)]
pub enum RedisUnavailable {
    /// The circuit is open: the command was not sent.
    #[error("Redis: the circuit is open after failures")]
    Open,
    /// No server is known for the slot of the key.
    #[error("Redis: no server is known for the slot of the key")]
    Nowhere,
    /// The command failed.
    #[error("Redis: {0}")]
    Failed(#[from] RedisError),
}

/// How long a command may take.
pub(in crate::storage::redis) const RESPONSE_TIMEOUT: Duration = Duration::from_millis(200);

/// How many failures in a row open the circuit.
const MAX_FAILURES: u32 = 3;

/// How long the circuit stays open.
const OPEN_FOR: Duration = Duration::from_millis(1_000);

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::storage::redis) struct Address {
    pub(in crate::storage::redis) host: Arc<str>,
    pub(in crate::storage::redis) port: u16,
}

impl Address {
    /// The server that a URL names.
    pub(in crate::storage::redis) fn of(info: &ConnectionInfo) -> Option<Self> {
        match info.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                Some(Self {
                    host: host.as_str().into(),
                    port: *port,
                })
            }
            _ => None,
        }
    }

    /// The connection settings of the template, with this address.
    pub(in crate::storage::redis) fn connection_info(
        &self,
        template: &ConnectionInfo,
    ) -> ConnectionInfo {
        let (host, port) = (self.host.to_string(), self.port);
        let here = match template.addr() {
            ConnectionAddr::TcpTls { .. } => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            },
            _ => ConnectionAddr::Tcp(host, port),
        };
        template.clone().set_addr(here)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[derive(Default)]
struct Circuit {
    failures: u32,
    open_until: Option<Instant>,
}

/// Identifies a connection: the server, and a number that is new for each connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::storage::redis) struct ConnectionId {
    pub(in crate::storage::redis) server: Address,
    number: u64,
}

/// Receives the pushes of a server, and a `Disconnection` when a connection is lost.
pub(in crate::storage::redis) type PushHandler = dyn Fn(&ConnectionId, PushInfo) + Send + Sync;

/// An established connection, and whether it was lost.
struct Connection {
    connection: MultiplexedConnection,
    id: ConnectionId,
    lost: Arc<AtomicBool>,
}

/// One server.
pub(in crate::storage::redis) struct Server {
    address: Address,
    client: Client,
    /// Receives pushes, if the connection subscribes.
    on_push: Option<Arc<PushHandler>>,
    connection: tokio::sync::Mutex<(u64, Option<Connection>)>,
    circuit: Mutex<Circuit>,
}

impl Server {
    fn prepare(
        address: &Address,
        template: &ConnectionInfo,
        on_push: Option<Arc<PushHandler>>,
    ) -> RedisResult<Self> {
        Ok(Self {
            address: address.clone(),
            client: Client::open(address.connection_info(template))?,
            on_push,
            connection: tokio::sync::Mutex::default(),
            circuit: Mutex::default(),
        })
    }

    /// The connection, established on first use and again after a loss.
    async fn connection(&self) -> RedisResult<(MultiplexedConnection, Arc<AtomicBool>)> {
        let mut guard = self.connection.lock().await;
        let (number, current) = &mut *guard;
        if let Some(open) = current
            && !open.lost.load(Ordering::Acquire)
        {
            return Ok((open.connection.clone(), Arc::clone(&open.lost)));
        }
        if let (Some(lost), Some(on_push)) = (current.take(), &self.on_push) {
            // The library does not push a `Disconnection` for every loss.
            let (kind, data) = (PushKind::Disconnection, Vec::new());
            on_push(&lost.id, PushInfo { kind, data });
        }
        *number += 1;
        let id = ConnectionId {
            server: self.address.clone(),
            number: *number,
        };
        let lost = Arc::<AtomicBool>::default();
        let mut config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_connection_timeout(Some(RESPONSE_TIMEOUT));
        if let Some(on_push) = self.on_push.clone() {
            let (id, lost) = (id.clone(), Arc::clone(&lost));
            config = config.set_push_sender(move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    lost.store(true, Ordering::Release);
                }
                on_push(&id, push);
                Ok::<_, Infallible>(())
            });
        }
        let connect = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        let connection = connect.await?;
        *current = Some(Connection {
            connection: connection.clone(),
            id,
            lost: Arc::clone(&lost),
        });
        Ok((connection, lost))
    }

    /// Runs a command, unless the circuit is open.
    pub(in crate::storage::redis) async fn run<T, R>(
        &self,
        command: impl FnOnce(MultiplexedConnection) -> R,
    ) -> Result<T, RedisUnavailable>
    where
        R: Future<Output = RedisResult<T>>,
    {
        if self
            .circuit()
            .open_until
            .is_some_and(|until| Instant::now() < until)
        {
            return Err(RedisUnavailable::Open);
        }
        let run = async {
            let (connection, lost) = self.connection().await?;
            let result = command(connection).await;
            if result
                .as_ref()
                .is_err_and(RedisError::is_unrecoverable_error)
            {
                lost.store(true, Ordering::Release);
            }
            result
        };
        // The connection's timeouts are for each step; this one is for all steps together.
        let result = tokio::time::timeout(2 * RESPONSE_TIMEOUT, run)
            .await
            .unwrap_or_else(|elapsed| Err(std::io::Error::other(elapsed).into()));
        let mut circuit = self.circuit();
        match &result {
            Ok(_) => *circuit = Circuit::default(),
            // A redirection is not a failure of the server.
            Err(error) if is_elsewhere(error) => *circuit = Circuit::default(),
            Err(error) => {
                circuit.failures += 1;
                if circuit.failures >= MAX_FAILURES {
                    circuit.open_until = Some(Instant::now() + OPEN_FOR);
                }
                let Self { address, .. } = self;
                log::warn!("redis: {address}: {error} ({} in a row)", circuit.failures);
            }
        }
        Ok(result?)
    }

    fn circuit(&self) -> std::sync::MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key's slot has moved to another server, or is being moved.
fn is_elsewhere(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, Moved, TryAgain};
    matches!(error.kind(), ErrorKind::Server(Moved | Ask | TryAgain))
}

/// The key's slot has moved to another server.
pub(in crate::storage::redis) fn has_moved(error: &RedisUnavailable) -> bool {
    match error {
        RedisUnavailable::Failed(error) => {
            error.kind() == ErrorKind::Server(ServerErrorKind::Moved)
        }
        RedisUnavailable::Open | RedisUnavailable::Nowhere => false,
    }
}

/// The connections for one purpose, one per server that was used so far.
pub(in crate::storage::redis) struct Servers {
    /// Credentials and TLS.
    template: ConnectionInfo,
    on_push: Option<Arc<PushHandler>>,
    by_address: Mutex<HashMap<Address, Arc<Server>>>,
}

impl Servers {
    pub(in crate::storage::redis) fn new(
        template: ConnectionInfo,
        on_push: Option<Arc<PushHandler>>,
    ) -> Self {
        Self {
            template,
            on_push,
            by_address: Mutex::default(),
        }
    }

    /// The server at an address.
    pub(in crate::storage::redis) fn at(
        &self,
        address: &Address,
    ) -> Result<Arc<Server>, RedisUnavailable> {
        let mut by_address = self
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = by_address.get(address) {
            return Ok(Arc::clone(server));
        }
        let server = Server::prepare(address, &self.template, self.on_push.clone())?;
        let server = Arc::new(server);
        by_address.insert(address.clone(), Arc::clone(&server));
        Ok(server)
    }

    /// Drops the servers that are not kept.
    pub(in crate::storage::redis) fn retain(&self, keep: impl Fn(&Address) -> bool) {
        self.by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|address, _| keep(address));
    }
}
