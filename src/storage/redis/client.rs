//! The Redis client, for one server or a cluster. Redis may be slow, empty or unreachable at any time: every command has a short
//! timeout, and a circuit breaker per server skips commands after a few failures in a row, so that a stopped Redis does not
//! delay requests. A miss always means *unknown*, never zero.
//!
//! A cluster maps keys to slots, and every command, script and channel here has one key. `run` uses the server of a key,
//! `scatter` splits many keys by server. The topology is read from the first server that answers, and again after a server
//! failed or a slot moved (docs/decisions/0013).

use crate::storage::redis::transport::server::{
    Address, RedisUnavailable, Server, Servers, has_moved,
};
use crate::storage::redis::transport::slots::{Slots, slot};
use futures_util::future::{join_all, select_ok};
use redis::aio::MultiplexedConnection;
use redis::{ConnectionInfo, IntoConnectionInfo, RedisResult};
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Redis.
pub struct Redis {
    /// Credentials and TLS, for connections to any server.
    pub(super) template: ConnectionInfo,
    /// The configured servers of a cluster; empty for a single server.
    seeds: Vec<Address>,
    slots: Mutex<Arc<Slots>>,
    /// When the topology was last requested.
    refreshed_at: tokio::sync::Mutex<Option<Instant>>,
    pub(super) servers: Servers,
}

impl Redis {
    /// A client for `redis://…`, or `redis+cluster://…` with commas between the servers. Connections are made on demand.
    pub fn connect(url: &str) -> Result<Self, RedisUnavailable> {
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let cluster = scheme.strip_suffix("+cluster");
        let (login, hosts) = rest.split_at(rest.rfind('@').map_or(0, |at| at + 1));
        let servers: Vec<ConnectionInfo> = match cluster {
            None => vec![url.into_connection_info()?],
            Some(scheme) => hosts
                .split(',')
                .map(|host| format!("{scheme}://{login}{host}").into_connection_info())
                .collect::<RedisResult<_>>()?,
        };
        let seeds: Vec<_> = servers.iter().filter_map(Address::of).collect();
        let (Some(template), Some(first)) = (servers.into_iter().next(), seeds.first().cloned())
        else {
            return Err(RedisUnavailable::Nowhere);
        };
        let (slots, seeds) = match cluster {
            None => (Slots::alone(first), Vec::new()),
            Some(_) => (Slots::default(), seeds),
        };
        Ok(Self {
            servers: Servers::new(template.clone(), None),
            template,
            seeds,
            slots: Mutex::new(Arc::new(slots)),
            refreshed_at: tokio::sync::Mutex::default(),
        })
    }

    /// Whether all masters answer now.
    pub async fn ping(&self) -> bool {
        let Ok(masters) = self.masters().await else {
            return false;
        };
        let began = Instant::now();
        let pings = masters.iter().map(async |server| {
            let ping = async |mut connection| {
                let ping = redis::cmd("PING");
                ping.query_async::<String>(&mut connection).await
            };
            server.run(ping).await
        });
        let well = join_all(pings).await.iter().all(Result::is_ok);
        if !well {
            self.refresh_topology(began, None).await;
        }
        well
    }

    /// The masters, in the order of their slots.
    pub(super) async fn masters(&self) -> Result<Vec<Arc<Server>>, RedisUnavailable> {
        let slots = self.slots_with(|slots| !slots.masters().is_empty()).await;
        let masters = slots.masters();
        if masters.is_empty() {
            return Err(RedisUnavailable::Nowhere);
        }
        masters
            .into_iter()
            .map(|one| self.servers.at(one))
            .collect()
    }

    /// The slot of a key. One call of a script may name only keys of one slot; a single server counts as one slot.
    pub(super) fn slot(&self, key: &str) -> u16 {
        match self.seeds.is_empty() {
            true => 0,
            false => slot(key),
        }
    }

    /// Runs a command on the server of its key.
    pub(super) async fn run<T, R>(
        &self,
        key: &str,
        command: impl Fn(MultiplexedConnection) -> R,
    ) -> Result<T, RedisUnavailable>
    where
        R: Future<Output = RedisResult<T>>,
    {
        self.execute_on(&self.servers, key, command).await
    }

    /// Runs a command on the server of its key, over these connections, and once more if the key has moved.
    async fn execute_on<T, R>(
        &self,
        servers: &Servers,
        key: &str,
        command: impl Fn(MultiplexedConnection) -> R,
    ) -> Result<T, RedisUnavailable>
    where
        R: Future<Output = RedisResult<T>>,
    {
        let mut moved = false;
        loop {
            let began = Instant::now();
            let slots = self.slots_with(|slots| slots.of(key).is_some()).await;
            let address = slots.of(key).ok_or(RedisUnavailable::Nowhere)?;
            let result = servers.at(address)?.run(&command).await;
            match &result {
                Err(error) if has_moved(error) && !moved => {
                    moved = true;
                    self.refresh_topology(began, Some(address)).await;
                }
                Err(RedisUnavailable::Failed(_)) => {
                    self.refresh_topology(began, None).await;
                    return result;
                }
                _ => return result,
            }
        }
    }

    /// Runs a command for many items: on all servers concurrently, on each with the items whose keys it has. Each result is for
    /// a part of the items.
    pub(super) async fn scatter<I, T, R>(
        &self,
        servers: &Servers,
        items: Vec<I>,
        key: impl Fn(&I) -> &str,
        command: impl Fn(MultiplexedConnection, Vec<I>) -> R,
    ) -> Vec<(Vec<I>, Result<T, RedisUnavailable>)>
    where
        I: Clone,
        R: Future<Output = RedisResult<T>>,
    {
        let known = |slots: &Slots| items.iter().all(|one| slots.of(key(one)).is_some());
        let slots = self.slots_with(known).await;
        let mut parts: HashMap<Option<&Address>, Vec<I>> = HashMap::new();
        for item in items {
            parts.entry(slots.of(key(&item))).or_default().push(item);
        }
        let parts = parts.into_iter().map(async |(address, part)| {
            let began = Instant::now();
            let result = match address.map(|address| servers.at(address)) {
                None => Err(RedisUnavailable::Nowhere),
                Some(Err(error)) => Err(error),
                Some(Ok(server)) => {
                    let command = |connection| command(connection, part.clone());
                    server.run(command).await
                }
            };
            match result {
                // Only some items may have moved, and to different servers.
                Err(error) if has_moved(&error) => {
                    let alone = part.into_iter().map(async |item| {
                        let command = |connection| command(connection, vec![item.clone()]);
                        let result = self.execute_on(servers, key(&item), command).await;
                        (vec![item.clone()], result)
                    });
                    join_all(alone).await
                }
                Err(error @ RedisUnavailable::Failed(_)) => {
                    self.refresh_topology(began, None).await;
                    vec![(part, Err(error))]
                }
                result => vec![(part, result)],
            }
        });
        join_all(parts).await.into_iter().flatten().collect()
    }

    /// Reads the topology of a cluster again, unless it was requested since `began`: from `from`, if given, else from the first
    /// server that answers.
    pub(super) async fn refresh_topology(&self, began: Instant, from: Option<&Address>) {
        if self.seeds.is_empty() {
            return;
        }
        let mut refreshed_at = self.refreshed_at.lock().await;
        if refreshed_at.is_some_and(|at| at >= began) {
            return;
        }
        *refreshed_at = Some(Instant::now());
        let known = self.slots();
        let candidates: HashSet<&Address> = match from {
            Some(one) => HashSet::from([one]),
            None => known.servers().chain(&self.seeds).collect(),
        };
        let answers = candidates.into_iter().map(|address| {
            Box::pin(async move {
                let ask = async |mut connection| {
                    let mut slots = redis::cmd("CLUSTER");
                    let answer = slots.arg("SLOTS").query_async(&mut connection).await?;
                    Slots::parse(answer, address)
                };
                self.servers.at(address)?.run(ask).await
            })
        });
        let Ok((slots, _)) = select_ok(answers).await else {
            // `Server::run` has logged the errors.
            return;
        };
        if slots != *known {
            let known: HashSet<_> = slots.servers().chain(&self.seeds).collect();
            self.servers.retain(|address| known.contains(address));
            *self.locked() = Arc::new(slots);
        }
    }

    /// The topology, read again unless the known one suffices.
    async fn slots_with(&self, suffices: impl Fn(&Slots) -> bool) -> Arc<Slots> {
        let known = self.slots();
        if suffices(&known) {
            return known;
        }
        self.refresh_topology(Instant::now(), None).await;
        self.slots()
    }

    pub(super) fn slots(&self) -> Arc<Slots> {
        Arc::clone(&self.locked())
    }

    fn locked(&self) -> MutexGuard<'_, Arc<Slots>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
